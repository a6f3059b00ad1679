"""What to write: text that is put into a file, with what only the project knows left to it."""

from collections.abc import Collection, Iterable, Mapping
from json import dumps
from typing import Final, Literal, cast

from cache_invalidation.metrics.figures import Dropped
from cache_invalidation.operations.overview import ModelEntry, RuleEntry

Near = Literal["function", "page", "block", "cache", "queries"]

# Where it is said of each kind that it is kept near.
_NEAR: Final[Mapping[Near, str]] = {
    "function": "@cached(…{near})",
    "page": "@cache_page(…{near})",
    "block": "{% cached …{near} %}",
    "cache": '"OPTIONS": {…, "NEAR": [{near}, …]}',
    "queries": ".cached(…{near})",
}


def option(model: ModelEntry, called: str, name: str, values: Iterable[str]) -> str:
    """Return a rule of `model`, whose class is `called` so, or the line that its rule gets."""
    line = f"    {name} = {_list(values)}"
    if model["rules"]:
        return f"{_head(model['rules'][0])}+{line}"
    head = f"@register({called})\nclass {called}Invalidation(ModelInvalidation):"
    return "\n".join(f"+{each}" for each in (*head.splitlines(), line))


def volatile(
    model: ModelEntry, called: str, already: Collection[str], fields: Iterable[str]
) -> str:
    """Return the option with all `fields` that can be."""
    text = option(model, called, "volatile", [*sorted(already), *fields])
    return (
        f"{text}\n# Keep the fields that these writes change and the readers do not show. Have the "
        "readers\n# select what they show only: only(…), values(…)."
    )


def fields(rule: RuleEntry, source: str, names: Iterable[str]) -> str:
    """Return the `Tag` for the template `source`."""
    return (
        f"{_head(rule)}-    tags = [{dumps(source)}]\n"
        f"+    tags = [Tag({dumps(source)}, fields={_list(names)})]\n"
        "# Keep the fields that readers of the tag show."
    )


def families(rule: RuleEntry, names: Iterable[str]) -> str:
    """Return the families of what its code names."""
    return (
        f"{_head(rule)}+    families = {_list(names)}\n"
        f"# Those were named so far. Add what else {' and '.join(rule['code'])} may name."
    )


def row_limit(limit: int) -> str:
    """Return the setting."""
    return (
        f' CACHE_INVALIDATION = {{\n+    "ROW_TAG_LIMIT": {limit},\n }}\n'
        "# Or write fewer rows with each statement; with a queryset, if it is raw SQL."
    )


def statement(write: Dropped) -> str:
    """Return what to do about statements that nobody understands."""
    where = f" in {write['route']}" if write["route"] else ""
    return (
        f"# The SQL{where}: write it with a queryset, or say what it writes.\n"
        " with no_invalidation():\n     cursor.execute(…)\n+invalidate(Model)"
    )


def manual(tag: str, write: Dropped) -> str:
    """Return what to do about a call of `invalidate`."""
    where = f" in {write['route']}" if write["route"] else ""
    return (
        f"# The call{where}: leave it to rules and to what is found out, or make it if there is\n"
        f"# something new.\n+if changed:\n     invalidate(tags=[{dumps(tag)}])"
    )


def timeout(name: str, seconds: int) -> str:
    """Return where the timeout of what is called `name` is written."""
    models, key = dumps(name.removesuffix(".queries")), dumps(name.partition(":")[2])
    lines: dict[Near, str] = {
        "function": f"@cached(timeout={seconds})",
        "page": f"@cache_page({seconds})",
        "block": f"{{% cached {seconds} … %}}",
        "cache": f"cache.set({key}, value, timeout={seconds})",
        "queries": f'CACHE_INVALIDATION = {{"QUERIES": {{{models}: {seconds}}}}}',
    }
    why = "# If all that it shows comes from the database; nothing is stale by that."
    return f"+{lines[kind_of(name)]}\n{why}"


def refresh(timeout: float) -> str:
    """Return the option."""
    return f"+@cached(timeout={timeout:g}, refresh=True)"


def memory(largest: Iterable[tuple[str, float]]) -> str:
    """Return what to do about a server that is full."""
    sizes = "\n".join(f"#   {name}: {size:,.0f} bytes each" for name, size in largest)
    return (
        "# redis.conf\n+maxmemory 2gb   # more than now: INFO memory says what it is\n"
        f"# Or store less: only(…), values(…). The most bytes are stored by\n{sizes}"
    )


def unreadable() -> str:
    """Return the setting by which releases keep out of each other's entries."""
    return (
        ' CACHE_INVALIDATION = {\n+    "CODE_VERSION": os.environ["RELEASE"],\n }\n'
        "# Or return plain data, no instances of classes that move."
    )


def uncached(name: str) -> str:
    """Return that `name` is not to be cached."""
    kind = kind_of(name)
    text = "cache.set(…)" if kind == "cache" else _NEAR[kind].replace("{near}", "")
    return f"-{text}   # of {name}"


def kind_of(name: str) -> Near:
    """Return what is called `name` in the metrics, as far as keeping it near goes."""
    kind, colon, _ = name.partition(":")
    if colon and kind in _NEAR:
        return cast("Near", kind)
    return "queries" if name.endswith(".queries") else "function"


def near(name: str) -> str:
    """Return the option."""
    kind = kind_of(name)
    text = (
        f"+{_with_near(name)}   # of {name}\n"
        "# Who writes what it shows then waits until every process has dropped it."
    )
    if kind == "queries":
        return f"{text}\n# Where most of them are asked for; QUERIES keeps none near."
    if kind in ("function", "cache"):
        text += (
            " Return tuples\n# instead of lists and instances where you can: nothing is decoded at "
            "a hit then."
        )
    return text


def not_near(name: str) -> str:
    """Return the decorator, the tag or the setting without the option."""
    without = _NEAR[kind_of(name)].replace("{near}", "")
    lines = [f"-{_with_near(name)}   # of {name}"]
    if kind_of(name) != "cache":
        lines.append(f"+{without}")
    return "\n".join(lines)


def _with_near(name: str) -> str:
    kind = kind_of(name)
    if kind == "cache":
        return _NEAR[kind].replace("{near}", dumps(name.partition(":")[2]))
    return _NEAR[kind].replace("{near}", " near=True" if kind == "block" else ", near=True")


def together(route: str) -> str:
    """Return the decorator of a view."""
    return (
        f"+@cached_together   # the view at {dumps(route)}\n"
        "# from cache_invalidation import cached_together. What is committed elsewhere after the\n"
        "# first lookup of a request may not be in its answer."
    )


def exclude(labels: Iterable[str]) -> str:
    """Return the setting."""
    return f' CACHE_INVALIDATION = {{\n+    "EXCLUDE": {_list(labels)},\n }}'


def _head(rule: RuleEntry) -> str:
    return f" class {rule['rule'].rpartition('.')[2]}(ModelInvalidation):  # {rule['rule']}\n"


def _list(names: Iterable[str]) -> str:
    return f"[{', '.join(map(dumps, names))}]"
