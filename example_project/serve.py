"""The site on this machine, with servers, data and an editor's account of its own."""

import os
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace

import django
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management import call_command

from example_project.servers import running_servers


def main() -> None:
    """Serve until Ctrl-C."""
    port = _arguments().port
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
    # An exit in good order, so that nothing is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # A shell without job control has background jobs ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with running_servers():
        django.setup()
        call_command("migrate", verbosity=0)
        if not apps.get_model("airports", "Airport").objects.exists():
            call_command("load_airports")
        address = f"127.0.0.1:{port}"
        print(f"Site:  http://{address}/")
        print(f"Admin: http://{address}/admin/{_editor()}")
        call_command("runserver", address, use_reloader=False)


def _arguments() -> Namespace:
    parser = ArgumentParser(
        prog="python -m example_project.serve",
        description=__doc__,
        epilog="Set REDIS_URL and DATABASE_URL to use servers that run already.",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=os.environ.get("PORT", "8000"),
        metavar="N",
        help="where to listen on 127.0.0.1; otherwise PORT of the environment, or 8000",
    )
    return parser.parse_args()


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise ArgumentTypeError(f"{text!r} is no port: a number from 1 to 65535")
    return int(text)


def _editor() -> str:
    """Make sure that somebody can log in; return how, or nothing where somebody could already."""
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return ""
    users.create_superuser("admin", "", "admin")
    return "  (user admin, password admin)"


if __name__ == "__main__":
    main()
