"""Draw what is hidden, and what each student has for herself, from secrets of the teacher's.

HMAC (RFC 2104) with SHA-256 turns a secret and a name into a seed. The method is public; without the secret the values
cannot be computed in advance. Entry points: `generator` for hidden inputs, `variant_random` for variants.
"""

import hashlib
import hmac
import random
from pathlib import Path

import torch


def read_secret(path: Path | None) -> bytes:
    """Return what stands in the file of a key or a salt; without a file, no bytes. Raises ValueError if it is empty."""
    if path is None:
        return b""
    secret = path.read_bytes().strip()
    if not secret:
        raise ValueError(f"{path}: is empty; write a long line that nobody can guess into it")
    return secret


def digest(secret: bytes, *names: str) -> bytes:
    """Return 32 bytes that only the owner of the secret can compute, others for other names."""
    return hmac.new(secret, "\0".join(names).encode(), hashlib.sha256).digest()


def generator(key: bytes, assignment: str, check: str) -> torch.Generator:
    """Return the generator from which a hidden check draws its inputs."""
    seed = int.from_bytes(digest(key, "hidden", assignment, check)[:7], "big")
    return torch.Generator().manual_seed(seed)


def variant_random(salt: bytes, assignment: str, student: str) -> random.Random:
    """Return the source from which the variant of one student is drawn."""
    return random.Random(digest(salt, "variant", assignment, student))


def sheet_number(salt: bytes, assignment: str, student: str) -> str:
    """Return the number of a student's sheet, six hexadecimal digits."""
    return digest(salt, "sheet", assignment, student).hex()[:6]
