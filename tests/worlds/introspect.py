"""What two real tools find out about the schema, as JSON: SQLAlchemy's inspector and Django's inspectdb.

One argument: a connection string. Hidden columns have to be there with their types: a tool that does not find a column
writes statements that fail later.
"""

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
    from sqlalchemy import Column, MetaData, Table, create_engine, func, inspect, select

    engine = create_engine(URL.replace("postgresql://", "postgresql+psycopg://", 1))
    inspector, found = inspect(engine), {}
    for schema in ("public", "more"):
        found[schema] = {
            "tables": sorted(inspector.get_table_names(schema=schema)),
            "views": sorted(inspector.get_view_names(schema=schema)),
            "materialized": sorted(inspector.get_materialized_view_names(schema=schema)),
        }
        for table in found[schema]["tables"] + found[schema]["views"]:
            found[f"{schema}.{table}"] = {
                "columns": [[c["name"], str(c["type"]), c["nullable"], str(c.get("default")), "computed" in c] for c in inspector.get_columns(table, schema=schema)],
                "key": inspector.get_pk_constraint(table, schema=schema)["constrained_columns"],
                "foreign": [[f["constrained_columns"], f["referred_table"], f["referred_columns"]] for f in inspector.get_foreign_keys(table, schema=schema)],
                "indexes": sorted(str(i["name"]) for i in inspector.get_indexes(table, schema=schema)),
                "unique": sorted(str(u["name"]) for u in inspector.get_unique_constraints(table, schema=schema)),
                "checks": sorted(c["sqltext"] for c in inspector.get_check_constraints(table, schema=schema)),
                "comment": inspector.get_table_comment(table, schema=schema)["text"],
            }
    # As a whole, which binds the name of a setting.
    reflected = MetaData()
    reflected.reflect(engine, schema="public", views=True)
    found["reflected"] = {name: [[c.name, str(c.type)] for c in table.columns] for name, table in sorted(reflected.tables.items())}
    found["enums"] = [e["name"] for e in inspector.get_enums()]
    found["definition"] = inspector.get_view_definition("v_pat")
    metadata = MetaData()
    patients, encounters = (
        Table(table, metadata, *(Column(c["name"], c["type"]) for c in inspector.get_columns(table, schema="public")))
        for table in ("patients", "encounters")
    )
    with engine.connect() as connection:
        joined = select(patients.c.diagnosis, func.count()).join(encounters, encounters.c.patient_id == patients.c.id).group_by(patients.c.diagnosis).order_by(patients.c.diagnosis)
        found["joined"] = [list(row) for row in connection.execute(joined)]
        found["rows"] = len(connection.execute(select(patients).where(patients.c.visits > 3)).all())
    return found


def django():
    import django
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    at = urllib.parse.urlsplit(URL)
    options = dict(urllib.parse.parse_qsl(at.query))
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": at.path[1:],
        "USER": urllib.parse.unquote(at.username),
        "PASSWORD": urllib.parse.unquote(at.password),
        "HOST": at.hostname,
        "PORT": at.port,
        "OPTIONS": options,
    }
    settings.configure(DATABASES={"default": database}, INSTALLED_APPS=[], USE_TZ=True)
    django.setup()
    out = io.StringIO()
    with connection.cursor() as cursor:
        found = connection.introspection.get_table_list(cursor)
    # What PostgreSQL's own extension shows of everybody's statements is nobody's to inspect.
    names = sorted(table.name for table in found if not table.name.startswith("pg_stat"))
    call_command("inspectdb", *names, stdout=out, stderr=out)
    return out.getvalue().split("\n")


print(json.dumps({"sqlalchemy": sqlalchemy(), "django": django()}, sort_keys=True, indent=1))
