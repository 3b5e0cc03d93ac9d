"""Who may ask what: signed tokens (EdDSA JWT), checked on every route but health, webhooks and signed links."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from fastapi import Depends, Request
from fastapi import Path as PathParameter
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from .http import Problem

Scope = Literal["store", "admin", "member"]
SCOPES: tuple[Scope, ...] = ("store", "admin", "member")
MEMBER_TTL_MAX = timedelta(minutes=15)
_ISSUER, _AUDIENCE = "laurel", "laurel"
_VERIFIED_MAX = 1000
_bearer = HTTPBearer(auto_error=False, description="A token of `laurel token create` or POST /v1/member-tokens.")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks."""

    program_id: str
    scope: Scope
    member_id: UUID | None
    subject: str

    def may_read(self, member_id: UUID) -> bool:
        """Stores and admins see any member of their program, members themselves."""
        return self.scope != "member" or self.member_id == member_id


class Tokens:
    """Signs and verifies tokens. In its folder each `<key id>.pub.pem` verifies, the newest `<key id>.key.pem` signs.

    To rotate, add a key pair; take the old public key away when its tokens have run out.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._public: dict[str, Any] = {}
        self._verified: dict[str, tuple[str, Any, dict[str, Any]]] = {}
        """Key id, key and claims of tokens whose signature was found good; who holds one asks again and again."""

    def mint(
        self,
        program_id: str,
        scope: Scope,
        *,
        now: datetime,
        ttl: timedelta,
        member_id: UUID | None = None,
        subject: str,
    ) -> str:
        """A signed token. Member tokens name their member and live 15 minutes at most; raises ValueError otherwise."""
        if (scope == "member") != (member_id is not None):
            raise ValueError("a token names a member if and only if its scope is member")
        if ttl <= timedelta(0) or (scope == "member" and ttl > MEMBER_TTL_MAX):
            raise ValueError(f"a member's token lives at most {MEMBER_TTL_MAX}, any token longer than nothing")
        private = sorted(self._folder.glob("*.key.pem"))
        if not private:
            raise Problem(503, "No signing key", "this service has no key to sign tokens with: run laurel keys init")
        key_id = private[-1].name.removesuffix(".key.pem")
        claims: dict[str, Any] = {
            "iss": _ISSUER, "aud": _AUDIENCE, "sub": subject, "iat": now, "exp": now + ttl,
            "program": program_id, "scope": scope,
        }  # fmt: skip
        if member_id is not None:
            claims["member"] = str(member_id)
        key = load_pem_private_key(private[-1].read_bytes(), password=None)
        return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": key_id})  # type: ignore[arg-type]

    def verify(self, token: str, now: datetime) -> Principal:
        """Who holds the token. Raises ValueError with the reason; the token itself is never in it."""
        try:
            claims = self._claims(token)
            expires, scope = float(claims["exp"]), claims["scope"]
            if expires <= now.timestamp():
                raise ValueError("the token has run out")
            if float(claims["iat"]) > now.timestamp() + 60:
                raise ValueError("the token is from the future")
            if scope not in SCOPES or (scope == "member") != ("member" in claims):
                raise ValueError("the token's scope is unknown")
            if scope == "member" and expires - float(claims["iat"]) > MEMBER_TTL_MAX.total_seconds():
                raise ValueError("a member's token lives at most 15 minutes")
            member_id = UUID(claims["member"]) if "member" in claims else None
            return Principal(str(claims["program"]), scope, member_id, str(claims["sub"]))
        except (jwt.PyJWTError, KeyError, TypeError) as error:
            raise ValueError(f"the token is not valid: {type(error).__name__}") from error

    def _claims(self, token: str) -> dict[str, Any]:
        """What a token says, if it is signed by a key that is there now."""
        known = self._verified.get(token)
        key_id = known[0] if known else str(jwt.get_unverified_header(token).get("kid", ""))
        key = self._key(key_id)
        if known is not None and known[1] is key:
            return known[2]
        claims: dict[str, Any] = jwt.decode(
            token, key, algorithms=["EdDSA"], issuer=_ISSUER, audience=_AUDIENCE,
            options={"require": ["exp", "iat", "sub"], "verify_exp": False, "verify_iat": False},
        )  # fmt: skip
        if len(self._verified) >= _VERIFIED_MAX:
            self._verified.clear()
        self._verified[token] = key_id, key, claims
        return claims

    def _key(self, key_id: str) -> Any:
        path = f"{self._folder}/{key_id}.pub.pem"
        if len(key_id) > 64 or not key_id.isalnum() or not os.path.isfile(path):  # noqa: PTH113 - a `Path` costs more
            self._public.pop(key_id, None)
            raise jwt.InvalidKeyError("unknown key")
        if key_id not in self._public:
            self._public[key_id] = load_pem_public_key(Path(path).read_bytes())
        return self._public[key_id]


def create_key(folder: Path, key_id: str) -> None:
    """Make a key pair; the private key is readable by its owner alone. Raises FileExistsError for a known id."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    private = Ed25519PrivateKey.generate()
    path = folder / f"{key_id}.key.pem"
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{key_id}.pub.pem").write_bytes(public)


_Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def _principal(request: Request, credentials: HTTPAuthorizationCredentials | None) -> Principal:
    if credentials is None:
        raise Problem(401, "Token needed", "send `Authorization: Bearer …` with a token of this installation")
    try:
        return _verified(request, credentials.credentials)
    except ValueError as error:
        raise Problem(401, "Token refused", str(error)) from error


def principal_of(request: Request) -> Principal | None:
    """Who asks, if a good token says so. For what goes its ordinary way otherwise, where it is told what is wrong."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    try:
        return _verified(request, token)
    except ValueError:
        return None


def _verified(request: Request, token: str) -> Principal:
    principal: Principal = request.app.state.tokens.verify(token, request.app.state.clock.now())
    return principal


# The checks are coroutines, though nothing waits in them: FastAPI runs plain functions in threads, at twice the cost of
# the rest of a request.
def require(*scopes: Scope) -> Any:
    """Gives the `Principal`, if its scope is one of these: 401 without a valid token, else 403."""

    async def check(request: Request, credentials: _Credentials) -> Principal:
        principal = _principal(request, credentials)
        if principal.scope not in scopes:
            raise Problem(
                403, "Not allowed", f"this needs a token of scope {' or '.join(scopes)}, yours is {principal.scope}"
            )
        return principal

    return Depends(_marked(check))


def require_member() -> Any:
    """For routes with `member_id`: gives the `Principal` if it may read that member, else 401 or 403."""

    async def check(
        request: Request, credentials: _Credentials, member_id: Annotated[UUID, PathParameter()]
    ) -> Principal:
        principal = _principal(request, credentials)
        if not principal.may_read(member_id):
            raise Problem(403, "Not allowed", "a member's token reads that member alone")
        return principal

    return Depends(_marked(check))


def _marked(check: Callable[..., Awaitable[Principal]]) -> Callable[..., Awaitable[Principal]]:
    check.guards = True  # type: ignore[attr-defined]  # the test that walks all routes looks for it
    return check
