"""HEIC and HEIF photographs, as phones take them, which an extra decodes."""

from __future__ import annotations

from p3m_lightning.schema import InputError

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def is_heif(head: bytes) -> bool:
    """Return whether a file that begins with `head` (12 bytes or more) is HEIF; AVIF, which Pillow knows, is not."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


def register(name: str) -> None:
    """Let Pillow read such files.

    Raises:
        InputError: there is no decoder; the message names the file `name`, and what to do.
    """
    try:
        import pi_heif
    except ImportError:
        cure = "pip install 'p3m_lightning[heic]' reads it, or save it as JPEG or PNG"
        raise InputError(f"{name}: a HEIC photograph, which needs a decoder of its own; {cure}") from None
    pi_heif.register_heif_opener()
