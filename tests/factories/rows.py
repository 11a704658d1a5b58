"""Blobs, images and accounts with every field filled, for tests that care about few of them."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from chitram.domain.api_tokens import ApiToken, Scope, hash_secret
from chitram.domain.blobs import Blob, NewBlob
from chitram.domain.images import Image, Visibility
from chitram.domain.invites import Invite
from chitram.domain.sessions import Session, SessionKind
from chitram.domain.users import Role, User, email_key
from chitram.ports.unit_of_work import UnitOfWork

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def new_blob(seed: object = 0, **changes: Any) -> NewBlob:
    """A blob whose hash follows from `seed`."""
    values: dict[str, Any] = {
        "sha256": hashlib.sha256(repr(seed).encode()).hexdigest(),
        "generation": "0123456789ab",
        "size": 1000,
        "content_type": "image/jpeg",
        "width": 640,
        "height": 480,
        "created_at": NOW,
        "thumbnail_type": "image/jpeg",
        "perceptual_hash": 0x8000_0000_0000_00FF,
        "placeholder": "1QcSHQRnh493V4dIh4eXh1h4kJUI",
    }
    return NewBlob(**(values | changes))


def new_image(number: int, *, blob_id: int, **changes: Any) -> Image:
    """An image whose id follows from `number`."""
    values: dict[str, Any] = {
        "id": f"image{number:06d}",
        "blob_id": blob_id,
        "filename": f"చిత్రం {number}.jpg",
        "visibility": Visibility.PUBLIC,
        "created_at": NOW,
        "delete_token_hash": "d" * 64,
        "received_sha256": "e" * 64,
    }
    return Image(**(values | changes))


def user_id_of(number: int) -> str:
    return f"user{number:07d}"


def new_user(number: int = 1, **changes: Any) -> User:
    """An account whose id and e-mail follow from `number`."""
    email = changes.get("email", f"Padmaja{number}@Example.org")
    values: dict[str, Any] = {
        "id": user_id_of(number),
        "email": email,
        "email_key": email_key(email),
        "password_hash": "$2b$04$" + "x" * 53,
        "role": Role.USER,
        "is_active": True,
        "created_at": NOW,
    }
    return User(**(values | changes))


def new_session(number: int = 1, *, user: int = 1, **changes: Any) -> Session:
    """A session whose id follows from `number`, of the account that follows from `user`."""
    values: dict[str, Any] = {
        "id": f"session{number:017d}",
        "user_id": user_id_of(user),
        "kind": SessionKind.BEARER,
        "created_at": NOW,
        "last_used_at": NOW,
        "expires_at": later(3600),
        "address": "192.0.2.1",
        "user_agent": "Mozilla/5.0 (X11; Linux)",
    }
    return Session(**(values | changes))


def new_api_token(number: int = 1, *, user: int = 1, **changes: Any) -> ApiToken:
    """An API token whose id and hash follow from `number`, of the account that follows from `user`."""
    values: dict[str, Any] = {
        "id": f"token{number:06d}",
        "user_id": user_id_of(user),
        "name": f"చిత్రం {number}",
        "token_hash": hash_secret(f"chitram_{number}"),
        "scopes": frozenset({Scope.UPLOAD, Scope.READ}),
        "created_at": NOW,
        "expires_at": later(3600),
        "last_used_at": later(60),
    }
    return ApiToken(**(values | changes))


def new_invite(number: int = 1, **changes: Any) -> Invite:
    """An invitation whose hash follows from `number`."""
    values: dict[str, Any] = {
        "code_hash": hash_secret(f"invite {number}"),
        "created_at": NOW,
        "expires_at": later(3600),
        "created_by": user_id_of(1),
    }
    return Invite(**(values | changes))


async def add_user(work: UnitOfWork, number: int = 1, **changes: Any) -> User:
    user = new_user(number, **changes)
    assert await work.users.add(user)
    return user


async def add_session(work: UnitOfWork, number: int = 1, *, user: int = 1, **changes: Any) -> Session:
    session = new_session(number, user=user, **changes)
    await work.sessions.add(session)
    return session


async def add_api_token(work: UnitOfWork, number: int = 1, *, user: int = 1, **changes: Any) -> ApiToken:
    token = new_api_token(number, user=user, **changes)
    await work.api_tokens.add(token)
    return token


async def add_blob(work: UnitOfWork, seed: object = 0, *, pipeline_version: int = 1, **changes: Any) -> Blob:
    blob = await work.blobs.add(new_blob(seed, **changes), pipeline_version=pipeline_version)
    assert blob is not None
    return blob


async def add_image(work: UnitOfWork, number: int, *, blob_id: int, **changes: Any) -> Image:
    image = new_image(number, blob_id=blob_id, **changes)
    await work.images.add(image)
    return image
