"""How numbers are put into the sentences of history."""

_MINUTE, _HOUR = 60, 3600
_FEW_S = 10


def spoken(seconds: float) -> str:
    """A duration as one reads it: `0.4 s`, `40 s`, `4 m 10 s`, `2 h 5 m`."""
    if seconds < _FEW_S:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole // _MINUTE, "m", whole % _MINUTE, "s")
    return _two(whole // _HOUR, "h", whole % _HOUR // _MINUTE, "m")


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"
