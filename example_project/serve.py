"""The site on this machine, with servers, data and an editor's account of its own."""

import os
import signal
import sys

import django
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management import call_command

from example_project.servers import running_servers


def main() -> None:
    """Serve until Ctrl-C."""
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
        address = f"127.0.0.1:{os.environ.get('PORT', '8000')}"
        print(f"Site:  http://{address}/")
        print(f"Admin: http://{address}/admin/{_editor()}")
        call_command("runserver", address, use_reloader=False)


def _editor() -> str:
    """Make sure that somebody can log in; return how, or nothing where somebody could already."""
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return ""
    users.create_superuser("admin", "", "admin")
    return "  (user admin, password admin)"


if __name__ == "__main__":
    main()
