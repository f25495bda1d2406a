"""Tokens are kept and compared as sha256. They are 256 random bits, so no salt or slow hash is needed."""

import hashlib
import hmac


def hash_token(token: str) -> str:
    """The hash under which a token is known."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def is_same_hash(left: str, right: str) -> bool:
    """Compare without telling by the time taken how much was equal."""
    return hmac.compare_digest(left, right)
