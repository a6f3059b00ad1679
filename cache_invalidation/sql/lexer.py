"""SQL text to tokens.

A token is a string, and its first character tells what it is:

- ``"name``: a quoted identifier, without its closing quote
- ``'raw``: a string literal, as it stands in the text
- ``%3``, ``%:name``, ``%?``: a placeholder, by position, by name, or of unknown position
- anything else: a word in upper case, a number, an operator or a punctuation mark
"""

import re
import sys
from collections.abc import Iterator
from typing import Final, get_args

from cache_invalidation.sql.statement import Dialect

UNKNOWN: Final = "%?"


class UnreadableError(ValueError):
    """Where literals begin and end in this text, or what its names are, cannot be told."""


_STANDARD_STRING = r"'[^']*+(?:''[^']*+)*+'?"
_ESCAPED_STRING = r"'(?:[^'\\]++|''|\\.)*+'?"

# Unterminated literals and comments reach to the end of the text, as the databases see them.
_COMMENTS: dict[Dialect, str] = {
    "postgresql": r"--[^\r\n]*+|/\*.*?(?:\*/|\Z)",
    "sqlite": r"--[^\n]*+|/\*.*?(?:\*/|\Z)",
    # What is in `/*! ... */` is executed, so only its brackets are a comment.
    "mysql": r"--(?=\s|\Z)[^\n]*+|\#[^\n]*+|/\*M?!\d*+|\*/|/\*.*?(?:\*/|\Z)",
}
_STRINGS: dict[Dialect, str] = {
    "postgresql": (
        rf"[eE]{_ESCAPED_STRING}|(?:[bBxXnN]|[uU]&)?{_STANDARD_STRING}"
        r"|\$(?P<tag>(?:[^\W\d]\w*+)?)\$.*?(?:\$(?P=tag)\$|\Z)"
    ),
    "sqlite": rf"[xX]?{_STANDARD_STRING}",
    "mysql": rf"[bBxXnN]?{_ESCAPED_STRING}|" + _ESCAPED_STRING.replace("'", '"'),
}
_QUOTED: dict[Dialect, str] = {
    "postgresql": r'(?:[uU]&)?"[^"]*+(?:""[^"]*+)*+"?',
    "sqlite": r'"[^"]*+(?:""[^"]*+)*+"?|`[^`]*+(?:``[^`]*+)*+`?|\[[^\]]*+\]?',
    "mysql": r"`[^`]*+(?:``[^`]*+)*+`?",
}
# A question mark is a placeholder for SQLite and an operator of jsonb for PostgreSQL.
_PLACEHOLDERS: dict[Dialect, str] = {
    "postgresql": r"%[sbt]|%\([^)]*+\)[sbt]",
    "sqlite": r"%s|%\([^)]*+\)s|\?\d*+|(?<!:):[^\W\d]\w*+",
    "mysql": r"%s|%\([^)]*+\)s",
}
_OPERATOR_ENDS: dict[Dialect, str] = {
    "postgresql": r"--|/\*|%[%sbt(]",
    "sqlite": r"--|/\*|%[%s(]|\?|:\w",
    "mysql": r"--\s|/\*|\*/|\#|%[%s(]",
}


def _compile(dialect: Dialect) -> re.Pattern[str]:
    return re.compile(
        rf"""
          \s++
        | (?P<comment> {_COMMENTS[dialect]} )
        | (?P<string> {_STRINGS[dialect]} )
        | (?P<quoted> {_QUOTED[dialect]} )
        | (?P<placeholder> {_PLACEHOLDERS[dialect]} )
        | (?P<word> [^\W\d][\w$]*+ )
        | (?P<other> \.?\d[\w.]*+(?:(?<=[eE])[+-]\d++)?
                   | [(),.;\[\]] | %%
                   | (?: (?!{_OPERATOR_ENDS[dialect]}) [-+*/<>=~!@\#%^&|:?] )++
                   | . )
        """,
        re.DOTALL | re.VERBOSE,
    )


_PATTERNS: dict[Dialect, re.Pattern[str]] = {d: _compile(d) for d in get_args(Dialect)}
_PLACEHOLDER_INSIDE = re.compile(r"(?:^|[^%])(?:%%)*+%(?:[sbt]|\()")
_WORD = re.compile(r"[^\W\d][\w$]*+")
_ESCAPE = re.compile(r"\\(\\|[0-9a-fA-F]{4}|\+[0-9a-fA-F]{6})")


def tokenize(sql: str, dialect: Dialect) -> list[str]:
    """Return the tokens of `sql`, without comments.

    Raises `UnreadableError` for comments within comments and for names with escapes of their own,
    which only PostgreSQL knows.
    """
    tokens: list[str] = []
    position = 0
    misleading = False
    for match in _PATTERNS[dialect].finditer(sql):
        text = match[0]
        kind = match.lastgroup
        if kind == "word":
            tokens.append(text.upper())
        elif kind == "other":
            tokens.append("%" if text == "%%" else text)
        elif kind == "quoted":
            tokens.append('"' + unquote(text))
        elif kind == "placeholder":
            tokens.append(_placeholder(text, position))
            misleading = misleading or tokens[-1] == UNKNOWN
            position += not tokens[-1].startswith("%:")
        elif kind == "string":
            tokens.append("'" + text)
            misleading = misleading or _misleads(text)
        elif kind == "comment":
            _check_comment(text, dialect)
            misleading = misleading or _misleads(text)
    if "UESCAPE" in tokens:
        _check_word("UESCAPE", dialect)
    if misleading:
        # Drivers disagree on whether a placeholder inside a literal or a comment counts.
        return [UNKNOWN if is_placeholder(token) else token for token in tokens]
    return tokens


def _misleads(text: str) -> bool:
    return "%" in text and _PLACEHOLDER_INSIDE.search(text) is not None


def _check_comment(text: str, dialect: Dialect) -> None:
    if dialect == "postgresql" and text.startswith("/*") and "/*" in text[2:]:
        raise UnreadableError("a comment in a comment")


def _check_word(word: str, dialect: Dialect) -> None:
    if word == "UESCAPE" and dialect == "postgresql":
        raise UnreadableError("a name with escapes of its own")


def _placeholder(text: str, position: int) -> str:
    if text.startswith("%("):
        return f"%:{text[2:-2]}"
    if text.startswith(":"):
        return f"%{text}"
    # SQLite's `?7` counts by itself, and what follows counts from there.
    if text[0] == "?" and len(text) > 1:
        return UNKNOWN
    return f"%{position}"


def unquote(text: str) -> str:
    """Return the name that a quoted identifier stands for."""
    if text[0] in "uU":
        text = _ESCAPE.sub(_escaped, text[2:])
    quote = "]" if text[0] == "[" else text[0]
    inner = text[1:-1] if len(text) > 1 and text[-1] == quote else text[1:]
    return inner.replace(quote * 2, quote).replace("%%", "%")


def _escaped(match: re.Match[str]) -> str:
    code = match[1].lstrip("+")
    return "\\" if code == "\\" else chr(min(int(code, 16), sys.maxunicode))


def name_of(token: str) -> str | None:
    """Return the name that an identifier stands for, or None if `token` is not an identifier."""
    if token[0] == '"':
        return token[1:]
    return token.lower() if token[0].isalpha() or token[0] == "_" else None


def words(text: str) -> frozenset[str]:
    """Return the words of `text`, to compare tokens with."""
    return frozenset(text.split())


def is_placeholder(token: str) -> bool:
    return token[0] == "%" and token[1:2] != "" and token[1] in ":?0123456789"


def is_name(token: str) -> bool:
    return token[0] == '"'


def folded(token: str) -> str:
    """Return a name as it may be compared with others, in whatever case each is spelled."""
    # Words come in upper case, of which some letters do not come back.
    return (token[1:] if is_name(token) else token).upper().lower()


def all_words(sql: str) -> set[str]:
    """Return every word of the text in lower case, those inside literals and comments too."""
    return {word.lower() for word in _WORD.findall(sql)}


def names_in(sql: str, dialect: Dialect) -> Iterator[str]:
    """Yield the words and quoted identifiers of a long text, as `tokenize` would, but faster."""
    for match in _NAMES[dialect].finditer(sql):
        if match.lastgroup == "word":
            word = match[0].upper()
            _check_word(word, dialect)
            yield word
        elif match.lastgroup == "quoted":
            yield '"' + unquote(match[0])
        elif match.lastgroup == "comment":
            _check_comment(match[0], dialect)


def _compile_names(dialect: Dialect) -> re.Pattern[str]:
    return re.compile(
        rf"""
          %s(?:[ ,()]++%s)*+
        | (?P<comment> {_COMMENTS[dialect]} )
        | (?P<string> {_STRINGS[dialect]} )
        | (?P<quoted> {_QUOTED[dialect]} )
        | \d[\w.]*+
        | (?P<word> [^\W\d][\w$]*+ | ; )
        """,
        re.DOTALL | re.VERBOSE,
    )


_NAMES: dict[Dialect, re.Pattern[str]] = {d: _compile_names(d) for d in get_args(Dialect)}
