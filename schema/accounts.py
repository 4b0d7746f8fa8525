"""Accounts and sessions."""

from datetime import datetime
from typing import Annotated, TypeAlias

import strawberry

from jobs import accounts, tokens
from jobs.models import User as UserRow
from schema import ids
from schema.context import Info
from schema.enums import Role
from schema.nodes import Node
from schema.permissions import Public, Requires
from schema.problems import ConflictProblem, InvalidProblem

__all__ = ["AccountMutations", "AccountQueries", "Session", "User"]


@strawberry.type(description="An account.")
class User(Node):
    email: str = strawberry.field(description="Its address, in lower case; names it at login.")
    role: Role = strawberry.field(description="What it may do.")
    created_at: datetime = strawberry.field(description="When it was made.")

    @classmethod
    def of(cls, row: UserRow) -> "User":
        return cls(
            id=ids.encode(ids.Kind.USER, row.id),
            email=row.email,
            role=row.role,
            created_at=row.created_at,
        )


@strawberry.type(description="What a login gives.")
class Session:
    access_token: str = strawberry.field(
        description="Sent as `Authorization: Bearer <accessToken>` with every request."
    )
    refresh_token: str = strawberry.field(
        description="Buys a new session when the access token has expired."
    )
    expires_at: datetime = strawberry.field(description="When the access token expires.")
    user: User = strawberry.field(description="Whose session it is.")

    @classmethod
    def of(cls, session: tokens.Session) -> "Session":
        return cls(
            access_token=session.access_token,
            refresh_token=session.refresh_token,
            expires_at=session.expires_at,
            user=User.of(session.user),
        )


CreateUserResult: TypeAlias = Annotated[
    User | InvalidProblem | ConflictProblem,
    strawberry.union("CreateUserResult", description="The new account, or why there is none."),
]

Password: TypeAlias = Annotated[str, strawberry.argument(description="10 to 1024 characters.")]


@strawberry.type
class AccountQueries:
    @strawberry.field(
        description="The account that the token belongs to.", extensions=[Requires(Role.VIEWER)]
    )
    async def me(self, info: Info) -> User:
        viewer = info.context.viewer
        return User.of(await accounts.get_user(viewer, viewer.user_id))


@strawberry.type
class AccountMutations:
    @strawberry.mutation(
        description="Start a session. A wrong email or password is an UNAUTHENTICATED error.",
        extensions=[Public()],
    )
    async def login(
        self,
        info: Info,
        email: Annotated[str, strawberry.argument(description="The account's address.")],
        password: Annotated[str, strawberry.argument(description="The account's password.")],
    ) -> Session:
        user = await accounts.authenticate(email, password)
        return Session.of(info.context.service.tokens.issue(user))

    @strawberry.mutation(
        description="A new session for a refresh token; UNAUTHENTICATED where it does not hold.",
        extensions=[Public()],
    )
    async def refresh_token(
        self,
        info: Info,
        refresh_token: Annotated[
            str, strawberry.argument(description="The one that the last session gave.")
        ],
    ) -> Session:
        return Session.of(await info.context.service.tokens.refresh(refresh_token))

    @strawberry.mutation(description="Make an account.", extensions=[Requires(Role.ADMIN)])
    async def create_user(
        self,
        info: Info,
        email: Annotated[str, strawberry.argument(description="An address not in use yet.")],
        password: Password,
        role: Annotated[Role, strawberry.argument(description="What the account may do.")],
    ) -> CreateUserResult:
        user = await accounts.create_user(email, password, role, viewer=info.context.viewer)
        return User.of(user)
