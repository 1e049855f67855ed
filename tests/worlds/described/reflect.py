"""What SQLAlchemy and Django make of the schema `notes` as a whole, as JSON. One argument: a connection string."""

import os
import sys

# This folder must not come first when the tools are imported.
sys.path = [folder for folder in sys.path if os.path.abspath(folder or ".") != os.path.dirname(os.path.abspath(__file__))]

import io
import json
import urllib.parse
import warnings

URL = sys.argv[1]
# Types that a tool does not know are its own business.
warnings.simplefilter("ignore")


def sqlalchemy():
    from sqlalchemy import MetaData, create_engine, inspect
    from sqlalchemy.schema import CreateIndex, CreateTable

    engine = create_engine(URL.replace("postgresql://", "postgresql+psycopg://", 1))
    metadata, inspector = MetaData(), inspect(engine)
    metadata.reflect(engine, schema="notes", views=True)
    tables = {}
    for name, table in sorted(metadata.tables.items()):
        made = [str(CreateTable(table).compile(engine))]
        made += sorted(str(CreateIndex(index).compile(engine)) for index in table.indexes)
        tables[name] = {"made": made, "comment": table.comment, "columns": [[c.name, str(c.type), c.comment] for c in table.columns]}
    return {
        "tables": tables,
        "checks": {name: inspector.get_check_constraints(name, schema="notes") for name in sorted(inspector.get_table_names(schema="notes"))},
        "domains": inspector.get_domains(schema="notes"),
        "views": {name: inspector.get_view_definition(name, schema="notes") for name in sorted(inspector.get_view_names(schema="notes"))},
    }


def django():
    import django
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    at = urllib.parse.urlsplit(URL)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": at.path[1:],
        "USER": urllib.parse.unquote(at.username),
        "PASSWORD": urllib.parse.unquote(at.password),
        "HOST": at.hostname,
        "PORT": at.port,
        "OPTIONS": dict(urllib.parse.parse_qsl(at.query)),
    }
    settings.configure(DATABASES={"default": database}, INSTALLED_APPS=[], USE_TZ=True)
    django.setup()
    out = io.StringIO()
    with connection.cursor() as cursor:
        cursor.execute("set search_path to notes")
    call_command("inspectdb", "kept", "told", "kept_view", "told_view", stdout=out, stderr=out)
    return out.getvalue().split("\n")


print(json.dumps({"sqlalchemy": sqlalchemy(), "django": django()}, sort_keys=True, indent=1, default=str))
