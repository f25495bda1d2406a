"""The light client: the plain JavaScript that Nx loads from the coordinator, and its packer.

`bundle/` holds the files that run inside Nx's process. This package only reads and packs them; it never runs them.
It may import the model and the standard library.
"""

from nx_dte.light_client.packer import Bundle, pack_bundle

__all__ = ["Bundle", "pack_bundle"]
