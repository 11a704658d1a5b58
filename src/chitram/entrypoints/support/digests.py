"""Digests that a client declares for what it sends: RFC 9530, and what came before it (RFC 3230, RFC 1864)."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from chitram.domain.errors import ChecksumMismatch, InvalidRequest
from chitram.domain.uploads import DeclaredDigest

#: The algorithm whose hash of the file others keep anyway.
SHA256 = "sha256"

# By the names of the registry for digest fields, which the older one writes in whatever case.
_ALGORITHMS = {"sha-256": SHA256, "sha-512": "sha512"}
_LEGACY_ALGORITHMS = {**_ALGORITHMS, "md5": "md5"}
_LENGTHS = {"md5": 16, SHA256: 32, "sha512": 64}

# A member of a structured dictionary whose value is a byte sequence, with parameters that mean nothing here.
_MEMBER = re.compile(r"\s*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):(?:;[^,]*)?\s*\Z")
_LEGACY_MEMBER = re.compile(r"\s*([A-Za-z0-9_.*-]+)=([!-~]*)\s*\Z")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a field says that a hash is, in hex. `algorithm` is a name of hashlib's."""

    field: str
    algorithm: str
    digest: str


def parse_digests(value: str, *, field: str) -> list[Claim]:
    """What Content-Digest or Repr-Digest claims. InvalidRequest for a malformed field.

    Other algorithms are ignored, as the RFC asks; of several members with one name the last one counts.
    """
    members = (_member(_MEMBER, text, field=field) for text in value.split(","))
    return _claims(members, _ALGORITHMS, field=field)


def parse_legacy_digests(value: str, *, field: str) -> list[Claim]:
    """What Digest claims, in the same way. Empty members are none."""
    members = (_member(_LEGACY_MEMBER, text, field=field) for text in value.split(",") if text.strip())
    return _claims(((name.lower(), text) for name, text in members), _LEGACY_ALGORITHMS, field=field)


def parse_md5(value: str, *, field: str) -> list[Claim]:
    """What Content-MD5 claims. InvalidRequest for a malformed field."""
    return [Claim(field, "md5", _decode(value.strip(), algorithm="md5", field=field))]


class _Parser(Protocol):
    def __call__(self, value: str, *, field: str) -> list[Claim]: ...


#: Of the bytes of the body, or of a part.
_OF_CONTENT: Mapping[str, _Parser] = {"content-digest": parse_digests, "content-md5": parse_md5}
#: Of what the body represents.
_OF_REPRESENTATION: Mapping[str, _Parser] = {"repr-digest": parse_digests, "digest": parse_legacy_digests}
_OF_PART: Mapping[str, _Parser] = {**_OF_CONTENT, "digest": parse_legacy_digests}


class DeclaredDigests:
    """What a request with one file in a form declares of its bytes, and whether it is so.

    `take_head`; `take_part` before the first byte of the file; `see_body` and `see_file` for all that comes; `judge`.
    Fields of the request about content are about its whole body. Those about the representation may mean that, as the
    RFC has it, or the file, as most clients have it. Nothing is hashed that nobody asks for.
    """

    def __init__(self) -> None:
        self._of_body: list[Claim] = []
        self._of_either: list[Claim] = []
        self._of_file: list[Claim] = []
        self._body = _Hashes()
        self._file = _Hashes()

    def take_head(self, headers: Mapping[bytes, bytes]) -> None:
        """Read the fields of the request. InvalidRequest for a malformed one."""

        def field(name: str) -> str | None:
            value = headers.get(name.encode())
            return None if value is None else value.decode("latin-1")

        self._of_body = _read(_OF_CONTENT, field)
        self._of_either = _read(_OF_REPRESENTATION, field)
        self._body.add(claim.algorithm for claim in (*self._of_body, *self._of_either))
        self._file.add(claim.algorithm for claim in self._of_either if claim.algorithm != SHA256)

    def take_part(self, header: Callable[[str], str | None]) -> None:
        """Read the fields in the head of the file's part. InvalidRequest for a malformed one."""
        self._of_file = _read(_OF_PART, header)
        self._file.add(claim.algorithm for claim in self._of_file if claim.algorithm != SHA256)

    def see_body(self, piece: bytes) -> None:
        """The next piece of the whole body."""
        self._body.update(piece)

    def see_file(self, piece: bytes) -> None:
        """The next piece of the file."""
        self._file.update(piece)

    def judge(self) -> DeclaredDigest | None:
        """The SHA-256 that the file still has to have, None for any; all else has been compared.

        ChecksumMismatch, with the name of the field.
        """
        body = self._body.digests()
        for claim in self._of_body:
            if claim.digest != body[claim.algorithm]:
                raise ChecksumMismatch(details={"field": claim.field})
        meant = [claim for claim in self._of_either if claim.digest != body[claim.algorithm]]
        # The file's SHA-256 is compared by whoever keeps the file; here its claims have to be of one mind.
        file = self._file.digests()
        declared = None
        for claim in (*self._of_file, *meant):
            if claim.digest != file.setdefault(claim.algorithm, claim.digest):
                raise ChecksumMismatch(details={"field": claim.field})
            if claim.algorithm == SHA256:
                declared = DeclaredDigest(claim.field, claim.digest)
        return declared


class _Hashes:
    """Hashes of bytes that come in pieces, by algorithm."""

    def __init__(self) -> None:
        self._hashes: dict[str, hashlib._Hash] = {}

    def add(self, algorithms: Iterable[str]) -> None:
        for name in algorithms:
            if name not in self._hashes:
                # Against accidents, not against attackers: whoever declares an MD5 could as well declare nothing.
                self._hashes[name] = hashlib.new(name, usedforsecurity=False)

    def update(self, piece: bytes) -> None:
        for found in self._hashes.values():
            found.update(piece)

    def digests(self) -> dict[str, str]:
        """In hex."""
        return {name: found.hexdigest() for name, found in self._hashes.items()}


def sha256_member(sha256: str) -> bytes:
    """The value of a digest field for a hash given in hex."""
    return b"sha-256=:" + binascii.b2a_base64(bytes.fromhex(sha256), newline=False) + b":"


def _read(parsers: Mapping[str, _Parser], header: Callable[[str], str | None]) -> list[Claim]:
    """What the fields claim that are there, by their names in small letters."""
    claims: list[Claim] = []
    for name, parse in parsers.items():
        value = header(name)
        if value is not None:
            claims.extend(parse(value, field=name))
    return claims


def _member(pattern: re.Pattern[str], text: str, *, field: str) -> tuple[str, str]:
    match = pattern.match(text)
    if match is None:
        raise _malformed(field)
    return match.group(1), match.group(2)


def _claims(members: Iterable[tuple[str, str]], algorithms: Mapping[str, str], *, field: str) -> list[Claim]:
    known = {algorithms[name]: text for name, text in members if name in algorithms}
    return [Claim(field, name, _decode(text, algorithm=name, field=field)) for name, text in known.items()]


def _decode(text: str, *, algorithm: str, field: str) -> str:
    try:
        digest = base64.b64decode(text, validate=True)
    except ValueError:
        raise _malformed(field) from None
    if len(digest) != _LENGTHS[algorithm]:
        raise _malformed(field)
    return digest.hex()


def _malformed(field: str) -> InvalidRequest:
    return InvalidRequest(f"The field {field} is not well-formed.", details={"field": field})
