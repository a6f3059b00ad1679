"""One round trip over a connection of redis-py: commands out, answers in."""

from collections.abc import Iterable, Sequence
from typing import Any

from redis.exceptions import ReadOnlyError, ResponseError

try:
    from hiredis import pack_command
except ImportError:
    pack_command = None  # type: ignore[assignment]

Command = tuple[Any, ...]


def converse(
    connection: Any,
    commands: Sequence[Command],
    keep_refusals: bool = False,
    *,
    is_new: bool = False,
) -> list[Any]:
    """Send commands over a connection, which is connected or about to be; return the answers.

    A refusal is raised once all answers are read, or is among them if it is to be kept. After any
    other error, and where the server turns out to be a replica, the connection is closed.
    """
    try:
        connection.send_packed_command(packed(connection, commands), check_health=not is_new)
        answers = [answer_or_refusal(connection) for _ in commands]
    except BaseException:
        # An answer that nobody has read would be taken for that of the next command.
        connection.disconnect()
        raise
    for answer in answers:
        if isinstance(answer, ResponseError):
            if isinstance(answer, ReadOnlyError):
                connection.disconnect()
                raise answer
            if not keep_refusals:
                raise answer
    return answers


def packed(connection: Any, commands: Iterable[Command]) -> list[bytes]:
    """Return commands as they are sent over a connection."""
    if pack_command is None:
        return list(connection.pack_commands(commands))
    # So does redis-py, once it has looked at each argument, which takes three times as long.
    return [b"".join([pack_command(command) for command in commands])]


def unrefused(answers: list[Any]) -> list[Any]:
    """Return `answers`; raise the first refusal that is among them."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def answer_or_refusal(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error
