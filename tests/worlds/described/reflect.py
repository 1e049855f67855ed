"""What SQLAlchemy and Django make of the schema `notes` as a whole, as JSON. One argument: a connection string."""

import os
import sys

# This folder must not come first when the tools are imported.
sys.path = [folder for folder in sys.path if os.path.abspath(folder or ".") != os.path.dirname(os.path.abspath(__file__))]

import json
import urllib.parse
import warnings

URL = sys.argv[1]
# Types that a tool does not know are its own business.
warnings.simplefilter("ignore")


def sqlalchemy():
    from sqlalchemy import create_engine, inspect, text
    from sqlalchemy.engine.reflection import ObjectKind
    from sqlalchemy.exc import NoSuchTableError

    engine = create_engine(URL.replace("postgresql://", "postgresql+psycopg://", 1))
    inspector = inspect(engine)

    def every(ask):
        return {of[1]: found for of, found in sorted(ask(schema="notes", kind=ObjectKind.ANY).items())}

    indexes = every(inspector.get_multi_indexes)
    # What reflecting a table does with what is no column.
    expressions = [str(text(e)) for found in indexes.values() for i in found for e in i.get("expressions", [])]


    def query(view):
        try:
            return inspector.get_view_definition(view, schema="notes")
        except NoSuchTableError:
            # Its word for NULL.
            return None

    return {
        "columns": every(inspector.get_multi_columns),
        "indexes": [indexes, expressions],
        "checks": every(inspector.get_multi_check_constraints),
        "keys": [every(inspector.get_multi_pk_constraint), every(inspector.get_multi_unique_constraints)],
        "comments": every(inspector.get_multi_table_comment),
        "domains": inspector.get_domains(schema="notes"),
        "views": {name: query(name) for name in sorted(inspector.get_view_names(schema="notes"))},
    }


def django():
    import django
    from django.conf import settings
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
    with connection.cursor() as cursor:
        cursor.execute("set search_path to notes")
        tables = sorted(connection.introspection.get_table_list(cursor))
        # Not `inspectdb`, which reads from each table.
        return [[table, connection.introspection.get_constraints(cursor, table.name)] for table in tables]


print(json.dumps({"sqlalchemy": sqlalchemy(), "django": django()}, sort_keys=True, indent=1, default=str))
