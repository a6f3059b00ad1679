"""Tags as projects write them."""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.middleware import get_user
from django.template import Context, Library, Node, NodeList
from django.template.base import Parser, Token
from django.utils.safestring import SafeString
from django.utils.translation import activate

register = Library()

#: How often ``{% seen %}`` was rendered.
seen_times = 0


@register.simple_tag
def seen() -> str:
    """Take note that it is rendered."""
    global seen_times
    seen_times += 1
    return ""


@register.simple_tag(takes_context=True)
def look_up(context: Context, name: str) -> Any:
    """Take a value from the context."""
    found = context.get(name, "nothing")
    return found if isinstance(found, str) else str(found)


@register.simple_tag(takes_context=True)
def all_names(context: Context) -> str:
    """Take all that the context holds."""
    flat: Mapping[Any, Any] = context.flatten()
    return ", ".join(f"{name}={flat[name]}" for name in sorted(flat) if flat[name] is not name)


@register.simple_tag(takes_context=True)
def asked_for(context: Context) -> str:
    """Take the path of the request that a context was made for."""
    request: Any = getattr(context, "request", None)
    return "nothing" if request is None else str(request.path)


@register.simple_tag(takes_context=True)
def for_all(context: Context, name: Any, value: Any) -> str:
    """Set a name where the whole template sees it."""
    context.dicts[0][name] = value
    return ""


@register.simple_tag(takes_context=True)
def of_all(context: Context, name: Any) -> Any:
    """Take a name from where the whole template sees it."""
    return context.dicts[0].get(name, "nothing")


@register.simple_tag(takes_context=True)
def put(context: Context, name: Any, value: Any) -> str:
    """Set what may be no name."""
    context[name] = value
    return ""


@register.simple_tag(takes_context=True)
def push(context: Context, **names: Any) -> str:
    """Have names in a dictionary of their own, which stays there."""
    context.update(names)
    return ""


@register.simple_tag(takes_context=True)
def pop(context: Context) -> str:
    """Take away the last dictionary."""
    context.pop()
    return ""


@register.simple_tag(takes_context=True)
def on_context(context: Context, name: str, value: Any = None) -> Any:
    """Set an attribute of the context, if there is a value, and show it."""
    if value is not None:
        setattr(context, name, value)
    return str(getattr(context, name, ""))


@register.simple_tag
def speak(language: str) -> str:
    """Go on in another language."""
    activate(language)
    return ""


@register.simple_tag(takes_context=True)
def who(context: Context) -> str:
    """Ask the middleware of Django for the user."""
    request: Any = context.get("request")
    return str(get_user(request))


@register.simple_tag
def add_to(values: Any, value: Any) -> str:
    """Add a value to a list that others look at as well."""
    values.append(value)
    return ""


@register.simple_tag
def set_attribute(value: Any, name: str, to: Any) -> str:
    """Set an attribute of what others look at as well."""
    setattr(value, name, to)
    return ""


@register.simple_tag
def pair(first: Any, second: Any) -> list[Any]:
    """Return what is no plain value."""
    return [first, second]


@register.inclusion_tag("included", takes_context=True)
def includes(context: Context, label: str) -> dict[str, Any]:
    """Render a template with what it is given."""
    return {"label": label, "name": context.get("name")}


class PlainNode(Node):
    """What stands in a template in the place of a block, if nothing is to be cached."""

    def __init__(self, nodelist: NodeList) -> None:
        self.nodelist = nodelist

    def render(self, context: Context) -> SafeString:
        """Return what is inside."""
        return self.nodelist.render(context)


@register.tag
def plain(parser: Parser, token: Token) -> PlainNode:
    """Parse ``{% plain %} … {% endplain %}``."""
    nodelist = parser.parse(("endplain",))
    parser.delete_first_token()
    return PlainNode(nodelist)
