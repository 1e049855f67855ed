"""Write a corpus of generated statements, the same one for a seed.

Half of our own are composed: a source (tables, joins, sub-selects, common table expressions with tables' names), hostile
pieces over hidden columns in every place of a statement, and a way of sending it. The other half are statements of the
ordinary corpora with pieces exchanged. With --sqlsmith DSN the statements are SQLsmith's, which reads the schema there and
prints without running anything. That database is changed for it (sqlsmith.sql), so it has to be nobody else's.
"""

import argparse
import os
import random
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

# Relation -> (visible columns, hidden columns), each with its type.
TABLES = {
    "patients": ({"id": "int", "diagnosis": "text", "visits": "int"}, {"mrn": "text", "name": "text", "ssn": "text", "dob": "date", "zip": "text", "email": "text", "meta": "jsonb", "tags": "text[]"}),
    "encounters": ({"id": "int", "patient_id": "int", "cost": "numeric"}, {"note": "text"}),
    "plain": ({"id": "int", "label": "text"}, {}),
    "staff": ({"id": "int", "grade": "int"}, {"ssn": "text"}),
    "staff_exec": ({"id": "int", "grade": "int", "bonus": "int"}, {"ssn": "text"}),
    "claims": ({"id": "int", "region": "text", "amount": "numeric"}, {"member_ssn": "text"}),
    "claims_e": ({"id": "int", "region": "text", "amount": "numeric"}, {"member_ssn": "text"}),
    "acct": ({"id": "int", "admitted": "date", "visits": "int"}, {"ssn": "text", "dob": "date", "gen": "text"}),
    "acct_ref": ({"id": "int", "memo": "text"}, {"ssn": "text"}),
    "orders": ({"id": "int", "tenant": "text", "amount": "int"}, {}),
    "more.people": ({"id": "int", "kin": "int", "visits": "int"}, {"ssn": "text", "born": "date", "notes": "text"}),
    "more.patients": ({"id": "int", "ssn": "text"}, {"label": "text"}),
    "more.booking": ({"id": "int", "room": "int"}, {"low": "int", "high": "int", "span": "int"}),
    "more.younger": ({"id": "int", "extra": "int", "last": "int"}, {"secret": "text", "token": "text"}),
    "more.middle": ({"id": "int", "extra": "int"}, {"secret": "text"}),
    "more.events": ({"id": "int", "tenant": "text", "amount": "int"}, {"secret": "text"}),
    "more.events_t1_high": ({"id": "int", "tenant": "text", "amount": "int"}, {"secret": "text"}),
    "more.shared": ({"id": "int", "tenant": "text", "amount": "int", "label": "text"}, {}),
    "more.link": ({"id": "int", "shared_id": "int"}, {}),
    "more.domained": ({"id": "int", "word": "text"}, {"ssn": "text"}),
    "more.odd": ({"id": "int", "json_value": "text"}, {'"system_user"': "text"}),
    "v_pat": ({"id": "int"}, {"label": "text", "code": "text"}),
    "more.v_star": ({"id": "int", "diagnosis": "text", "visits": "int"}, {"ssn": "text", "name": "text", "dob": "date"}),
    "more.v_join": ({"id": "int"}, {"s": "text", "n": "text"}),
    "more.v_where": ({"id": "int"}, {}),
    "more.bed": ({"id": "int", "ward": "text"}, {}),
}


def rows(origin):
    """The rows of `a`, and of `b` where there is one, as texts. Whoever cuts a result off orders it by these: rows that are alike in
    all that the caller sees of them may change places, and what is computed from them is alike, too. A key would not do,
    where a relation has heirs or its columns other names."""
    return "a::text, b::text" if re.search(r"\bAS b\b|\bb TABLESAMPLE\b", origin) else "a::text"


def ordered(query, limit=""):
    """A query in the order of its rows as they are seen."""
    return f"SELECT * FROM ({query}) q ORDER BY q::text {limit}".strip()


TEXTS = ["'5'", "'123-45-6789'", "'1%'", "'a'", "'t1'", "'I10'", "''", "'9'"]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.depth = 0

    def pick(self, *choices):
        return self.random.choice(choices)

    def chance(self, share):
        return self.random.random() < share

    # ---- expressions over a list of sources: (alias, columns, hidden) ----------------------------

    def column(self, sources, kind=None, hidden=0.7):
        named = []
        for alias, visible, secret in sources:
            for columns, share in ((visible, 1 - hidden), (secret, hidden)):
                for name, typ in columns.items():
                    if kind is None or typ == kind:
                        named.append((share, alias, name))
        if not named:
            return None
        weights = [max(share, 0.05) for share, _, _ in named]
        _, alias, name = self.random.choices(named, weights)[0]
        return f"{alias}.{name}" if alias and self.chance(0.8) else name

    def text(self, sources, depth=0):
        column = self.column(sources, "text") or self.pick(*TEXTS)
        if depth > 2 or self.chance(0.35):
            return column
        inner = self.text(sources, depth + 1)
        alias = sources[0][0]
        return self.pick(
            f"upper({inner})", f"left({inner}, {self.pick(1, 2, 3)})", f"md5({inner})", f"{inner} || {self.text(sources, depth + 1)}",
            f"coalesce({inner}, 'x')", f"substr({inner}, {self.pick(1, 2)}, 1)", f"replace({inner}, '-', '')", f"split_part({inner}, '-', 1)",
            f"CASE WHEN {self.boolean(sources, depth + 1)} THEN {inner} ELSE 'n' END", f"nullif({inner}, {self.pick(*TEXTS)})",
            f"greatest({inner}, 'b')", f"({inner})::varchar(3)::text", f"concat({alias})", f"({alias})::text", f"to_jsonb({alias})::text",
            f"{inner} COLLATE \"C\"", f"(SELECT {inner})", f"reverse({inner})", f"regexp_replace({inner}, '\\d', '#')", f"format('%s', {inner})",
        )

    def number(self, sources, depth=0):
        column = self.column(sources, "int") or "1"
        if depth > 2 or self.chance(0.3):
            return column
        return self.pick(
            f"length({self.text(sources, depth + 1)})", f"ascii({self.text(sources, depth + 1)})", f"({self.boolean(sources, depth + 1)})::int",
            f"{self.number(sources, depth + 1)} + {self.number(sources, depth + 1)}", f"100 / nullif({self.number(sources, depth + 1)}, 0)",
            f"1 / ({self.number(sources, depth + 1)} - {self.pick(0, 1, 22, 49, 60)})", f"coalesce({self.number(sources, depth + 1)}, -1)",
            f"CASE WHEN {self.boolean(sources, depth + 1)} THEN 1 ELSE 0 END", f"position('5' in {self.text(sources, depth + 1)})",
            f"(SELECT count(*)::int FROM plain WHERE {self.boolean(sources, depth + 1)})", f"{self.text(sources, depth + 1)}::int",
            f"num_nulls({self.text(sources, depth + 1)}, {column})", f"hashtext({self.text(sources, depth + 1)})",
            f"extract(year from {self.column(sources, 'date') or 'current_date'})::int",
        )

    def boolean(self, sources, depth=0):
        if depth > 2:
            return f"{self.column(sources, 'text') or TEXTS[3]} < '5'"
        alias = sources[0][0]
        return self.pick(
            f"{self.text(sources, depth + 1)} {self.pick('=', '<', '>', '<>', 'LIKE', '~')} {self.pick(*TEXTS[:4])}",
            f"{self.number(sources, depth + 1)} {self.pick('=', '<', '>', '>=')} {self.pick(1, 3, 50)}",
            f"{self.text(sources, depth + 1)} IS {self.pick('', 'NOT ')}NULL", f"{alias} IS NOT NULL",
            f"{self.text(sources, depth + 1)} IN ({', '.join(self.random.sample(TEXTS, 2))})",
            f"NOT ({self.boolean(sources, depth + 1)})", f"({self.boolean(sources, depth + 1)} {self.pick('AND', 'OR')} {self.boolean(sources, depth + 1)})",
            f"EXISTS (SELECT 1 FROM plain l WHERE l.id = {self.number(sources, depth + 1)})",
            f"{self.text(sources, depth + 1)} IS DISTINCT FROM {self.text(sources, depth + 1)}",
            f"({self.column(sources) or 'id'}, {self.number(sources, depth + 1)}) IS NOT DISTINCT FROM (NULL, 1)",
            f"{self.text(sources, depth + 1)} = ANY (SELECT {self.text(sources, depth + 1)})",
            f"{self.number(sources, depth + 1)} BETWEEN {self.pick(1, 10)} AND {self.pick(20, 60)}",
        )

    def anything(self, sources):
        return self.pick(self.text(sources), self.number(sources), self.boolean(sources), self.column(sources) or "1", sources[0][0], f"{sources[0][0]}.*", "*")

    # ---- sources ------------------------------------------------------------------------------------

    def table(self):
        return self.pick(*TABLES)

    def source(self, alias):
        name = self.table()
        visible, secret = TABLES[name]
        form = self.random.random()
        if form < 0.6:
            text = f"{self.pick('', '', 'ONLY ') if not name.startswith('v_') else ''}{name} AS {alias}"
            if name in ("patients", "acct", "more.people") and self.chance(0.1):
                text = f"{name} {alias} TABLESAMPLE BERNOULLI (100) REPEATABLE (1)"
            return text, (alias, visible, secret)
        if form < 0.85 and self.depth < 2:
            self.depth += 1
            text = self.select([(f"{name} AS s", ("s", visible, secret))], star=True)
            self.depth -= 1
            return f"{self.pick('', 'LATERAL ')}({text}) AS {alias}", (alias, visible, secret)
        names = list(visible) + list(secret)
        # `id` stays among them, since so much is joined and ordered by it; it may stand on another column now.
        renamed = ["id"] + self.random.sample(["ssn", "visits", "label", "name", "amount", "x", "y", "z"], min(len(names), 4) - 1)
        self.random.shuffle(renamed)
        all_types = {**visible, **secret}
        seen = {new: all_types[old] for new, old in zip(renamed, names) if old in visible}
        hid = {new: all_types[old] for new, old in zip(renamed, names) if old in secret}
        rest = {old: all_types[old] for old in names[len(renamed):] if old not in renamed}
        return f"{name} AS {alias}({', '.join(renamed)})", (alias, seen, {**hid, **rest})

    def sources(self):
        first, one = self.source("a")
        if self.chance(0.55):
            return [(first, one)]
        second, two = self.source("b")
        join = self.random.random()
        if join < 0.2:
            return [(f"{first} NATURAL {self.pick('', 'LEFT ', 'FULL ')}JOIN {second}", one), ("", two)]
        if join < 0.4:
            return [(f"{first} {self.pick('', 'LEFT ', 'FULL ')}JOIN {second} USING (id)", one), ("", two)]
        if join < 0.6:
            return [(f"{first} JOIN {second} ON {self.boolean([one, two])}", one), ("", two)]
        if join < 0.8:
            return [(f"{first} {self.pick('LEFT', 'FULL')} JOIN {second} ON a.id = b.id AND {self.column([one], 'text') or '1'}::text = {self.column([two], 'text') or '1'}::text", one), ("", two)]
        return [(f"{first}, {second}", one), ("", two)]

    # ---- statements -----------------------------------------------------------------------------------

    def select(self, given=None, star=False):
        given = given or self.sources()
        origin = ", ".join(text for text, _ in given if text)
        sources = [source for _, source in given]
        if star:
            where = f" WHERE {self.boolean(sources)}" if self.chance(0.3) else ""
            order = f" ORDER BY {self.text(sources)}" if self.chance(0.2) else ""
            return f"SELECT {self.pick('*', 's.*')} FROM {origin}{where}{order}"
        where = f" WHERE {self.boolean(sources)}" if self.chance(0.5) else ""
        kind = self.random.random()
        if kind < 0.25:
            aggregate = self.pick(
                "count(*)", f"count({self.text(sources)})", f"min({self.text(sources)})", f"max({self.number(sources)})",
                f"string_agg({self.text(sources)}, ',' ORDER BY a.id)", f"array_agg(a.id ORDER BY {self.text(sources)}, a.id)",
                f"count(*) FILTER (WHERE {self.boolean(sources)})", f"sum({self.number(sources)})", f"bool_or({self.boolean(sources)})",
                f"jsonb_agg(a ORDER BY a.id)", f"count(DISTINCT {self.text(sources)})", f"mode() WITHIN GROUP (ORDER BY {self.text(sources)})",
                f"rank('5') WITHIN GROUP (ORDER BY {self.text(sources)})",
            )
            having = f" HAVING {self.pick('count(*) > 0', f'min({self.text(sources)}) < ' + TEXTS[0])}" if self.chance(0.3) else ""
            if self.chance(0.5):
                return f"SELECT {aggregate} FROM {origin}{where}{having}"
            group = self.pick("a.id", self.text(sources), self.number(sources), f"GROUPING SETS (({self.text(sources)}), ())", f"ROLLUP ({self.text(sources)})")
            return f"SELECT count(*) AS n, {aggregate} FROM {origin}{where} GROUP BY {group}{having} ORDER BY 1, 2"
        if kind < 0.4:
            window = self.pick(f"ORDER BY {self.text(sources)}, a.id", f"PARTITION BY {self.text(sources)} ORDER BY a.id", f"PARTITION BY {self.boolean(sources)} ORDER BY {self.number(sources)}, a.id")
            function = self.pick("row_number()", "rank()", f"lag({self.text(sources)})", "count(*)", f"first_value({self.text(sources)})", "sum(a.id)", "ntile(3)")
            return f"SELECT a.id, {function} OVER ({window}) FROM {origin}{where} ORDER BY a.id, 2"
        if kind < 0.5:
            if self.chance(0.5):
                item = self.anything(sources)
                if "*" in item:
                    return ordered(f"SELECT DISTINCT {item} FROM {origin}{where}", "LIMIT 5")
                return f"SELECT DISTINCT {item} FROM {origin}{where} ORDER BY 1 LIMIT 5"
            on = self.text(sources)
            return f"SELECT DISTINCT ON ({on}) {self.anything(sources)} FROM {origin}{where} ORDER BY {on}, {rows(origin)} LIMIT 5"
        items = ", ".join(self.anything(sources) for _ in range(self.random.randint(1, 3)))
        order = self.pick("", " ORDER BY a.id", f" ORDER BY {self.text(sources)}, a.id", " ORDER BY 1")
        limit = self.pick("", " LIMIT 3", " LIMIT 5 OFFSET 1", f" LIMIT (SELECT ascii(max(ssn)) - 45 FROM {self.pick('patients', 'acct', 'more.people')})", " FETCH FIRST 2 ROWS WITH TIES" if order else "")
        # With ties it gives all that are alike, whatever their order.
        if limit and "TIES" not in limit:
            order = f"{order}, {rows(origin)}" if order else f" ORDER BY {rows(origin)}"
        return f"SELECT {items} FROM {origin}{where}{order}{limit}"

    def query(self):
        text = self.select()
        form = self.random.random()
        if form < 0.15:
            name = self.pick("patients", "plain", "orders", "acct", "c")
            other = self.select([(f"{name} AS a", ("a", {"id": "int", "x": "text"}, {"ssn": "text", "name": "text"}))])
            column = ""
            if self.chance(0.7):
                given = self.sources()
                sources = [source for _, source in given]
                column, text = "(id, ssn, name)", f"SELECT a.id, {self.text(sources)}, {self.text(sources)} FROM {', '.join(t for t, _ in given if t)}"
            return f"WITH {self.pick('', 'RECURSIVE ')}{name}{column} AS {self.pick('', 'MATERIALIZED ', 'NOT MATERIALIZED ')}({text}) {other}"
        if form < 0.25:
            return f"({text}) {self.pick('UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT')} ({self.select()})"
        if form < 0.32:
            return f"SELECT ARRAY({text}), (SELECT count(*) FROM ({self.select()}) q)"
        return text

    def write(self):
        name = self.pick("patients", "acct", "acct_ref", "encounters", "plain", "more.people", "more.booking", "orders", "more.link", "more.shared", "staff", "claims", "more.defaulted")
        visible, secret = TABLES.get(name, ({"id": "int"}, {"ssn": "text"}))
        target = ("t", visible, secret)
        returning = self.pick("", "", " RETURNING id", " RETURNING *", " RETURNING t", f" RETURNING {self.text([target])}", f" RETURNING {self.anything([target])}")
        settable = self.pick(*[c for c in visible if c != "id"], *secret, "id")
        typ = {**visible, **secret}[settable]
        value = {"int": self.number([target]), "text": self.text([target]), "date": self.pick("'2000-01-01'", "NULL", "'1900-01-01'")}.get(typ, "NULL")
        value = self.pick(value, value, "NULL", "DEFAULT")
        where = self.pick("", f" WHERE {self.boolean([target])}", f" WHERE {self.boolean([target])}", f" WHERE t.id = {self.pick(1, 2, 3, 1015)}")
        source, shape = self.source("s")
        kind = self.random.random()
        if kind < 0.25:
            return f"UPDATE {name} AS t SET {settable} = {value}{where}{returning}"
        if kind < 0.35:
            return f"UPDATE {name} AS t SET {settable} = {value} FROM {source} WHERE t.id = s.id AND {self.boolean([target, shape])}{returning}"
        if kind < 0.5:
            return f"DELETE FROM {name} AS t{where}{returning}"
        if kind < 0.6:
            return f"DELETE FROM {name} AS t USING {source} WHERE t.id = s.id AND {self.boolean([target, shape])}{returning}"
        if kind < 0.8:
            columns = ["id"] + self.random.sample([c for c in {**visible, **secret} if c != "id"], self.pick(1, 1, 2) if len({**visible, **secret}) > 2 else 1)
            types = {**visible, **secret}
            values = [str(self.pick(900, 1, 1015, 2))] + [{"int": str(self.pick(1, 61, 100, 200)), "numeric": "1", "date": "'1940-01-01'", "jsonb": "'{}'", "text[]": "'{}'"}.get(types[c], self.pick(*TEXTS[:3])) for c in columns[1:]]
            conflict = self.pick("", "", " ON CONFLICT DO NOTHING", f" ON CONFLICT ({self.pick(*columns)}) DO NOTHING", f" ON CONFLICT (id) DO UPDATE SET {columns[1]} = {self.pick('EXCLUDED', 't')}.{self.pick(*columns)}", f" ON CONFLICT (id) DO UPDATE SET {columns[1]} = EXCLUDED.{columns[1]} WHERE {self.boolean([target])}")
            return f"INSERT INTO {name} AS t ({', '.join(columns)}) VALUES ({', '.join(values)}){conflict}{returning}"
        if kind < 0.9:
            return f"INSERT INTO plain AS t (id, label) SELECT s.id, ({self.text([shape])})::text FROM {source} ORDER BY 1, s::text LIMIT 3{self.pick('', ' RETURNING label', ' RETURNING *')}"
        return f"MERGE INTO {name} AS t USING {source} ON t.id = s.id AND {self.boolean([target, shape])} WHEN MATCHED THEN {self.pick('DELETE', f'UPDATE SET {settable} = {value}', 'DO NOTHING')}"

    def statement(self):
        if self.chance(0.25):
            return f"BEGIN; {self.write()}; {self.pick('', 'SELECT count(*), max(id) FROM patients; ', 'SELECT * FROM plain ORDER BY id; ')}ROLLBACK;"
        query = self.query()
        way = self.random.random()
        prefix = self.pick("", "", "", "", "", "SET search_path = more, public; ", "SET search_path = public, more; ")
        if way < 0.6:
            return f"{prefix}{query};"
        return prefix + self.pick(
            f"EXPLAIN (COSTS OFF) {query};", f"EXPLAIN {query};", f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {query};", f"COPY ({query}) TO STDOUT;",
            f"BEGIN; DECLARE c SCROLL CURSOR FOR {ordered(query)}; FETCH 3 c; FETCH LAST c; COMMIT;", f"PREPARE q AS {query}; EXECUTE q;",
            f"CREATE TEMP TABLE made AS {query}; SELECT count(*) FROM made; SELECT made FROM made ORDER BY made::text LIMIT 1;",
            f"BEGIN; CREATE TEMP TABLE patients(id int, ssn text); {query}; ROLLBACK; {query};",
            f"SELECT count(*) FROM ({query}) q;", f"SELECT q FROM ({query}) q ORDER BY q::text LIMIT 2;", f"SELECT EXISTS ({query});",
        )


# What differs from session to session, or from one moment to the next, tells nothing.
CHANCE = re.compile(r"(?i)\b(random\w*|gen_random_uuid|setseed|clock_timestamp|timeofday|(?:statement|transaction)_timestamp|now|localtime\w*|current_time\w*|pg_backend_pid|pg_postmaster_start_time|pg_conf_load_time|txid_\w+|pg_current_\w+|pg_my_temp_schema|pg_stat_activity)\b")


# What decides which rows a statement gives that takes only some: from the order to the limit.
CUT = re.compile(r"(?is)(?:\border by\b(?P<order>[^;()]*?))?\b(?:limit|fetch)\b[^;)]*")


def is_ordered(sql):
    """Whether it is ordered wherever it takes some of the rows, and by what stays the same when a column is put before others."""
    orders = [cut["order"] for cut in CUT.finditer(sql)]
    return all(order and not re.search(r"(?:^|,)\s*\d", order) for order in orders)


def ordinary():
    found = []
    for name in ("ordinary.sql", "more_ordinary.sql"):
        with open(os.path.join(HERE, name), encoding="utf-8") as file:
            for chunk in re.split(r"(?m)^-- @t ", file.read())[1:]:
                sql = chunk.split("\n", 1)[1].strip()
                if "\\." not in sql and not CHANCE.search(sql) and len(sql) < 4000 and is_ordered(sql):
                    found.append(sql)
    return found


VISIBLE_TO_HIDDEN = [("diagnosis", "ssn"), ("diagnosis", "name"), ("visits", "length(ssn)"), ("cost", "length(note)"), ("id", "ssn"), ("patient_id", "note"), ("label", "(SELECT max(ssn) FROM patients)"), ("amount", "1 / (amount - 22)"), ("plain", "patients"), ("patients", "acct"), ("patients", "more.people"), ("patients", "v_pat"), ("encounters", "more.v_join"), ("orders", "more.shared"), ("count(*)", "max(ssn)"), ("count(*)", "max(a::text)"), ("relkind", "relpages"), ("attnum", "attmissingval"), ("public", "more")]


def mutated(maker, sql):
    """With pieces exchanged; where it takes some of the rows only, still in the order in which it did."""
    cuts, changed = [cut.group() for cut in CUT.finditer(sql)], exchanged(maker, sql)
    while [cut.group() for cut in CUT.finditer(changed)] != cuts:
        changed = exchanged(maker, sql)
    return changed


def exchanged(maker, sql):
    for _ in range(maker.random.randint(1, 3)):
        way = maker.random.random()
        if way < 0.55:
            old, new = maker.pick(*VISIBLE_TO_HIDDEN)
            places = [m.start() for m in re.finditer(r"\b" + re.escape(old) + r"(?!\w)", sql)] if old[0].isalpha() else []
            if places:
                at = maker.random.choice(places)
                sql = sql[:at] + new + sql[at + len(old):]
        elif way < 0.7:
            places = [m.end() for m in re.finditer(r"(?i)\bwhere\b", sql)]
            if places:
                at = maker.random.choice(places)
                sql = sql[:at] + " " + maker.pick("ssn < '5' AND", "NOT (ssn IS NULL) AND", "1 / (length(ssn) - 11) > 0 OR", "(patients.*)::text > 'm' AND", "note LIKE '%SSN%' AND") + sql[at:]
        elif way < 0.8:
            places = [m.end() for m in re.finditer(r"(?i)\border by\b", sql)]
            if places:
                at = maker.random.choice(places)
                sql = sql[:at] + " " + maker.pick("ssn,", "name DESC,", "left(ssn, 1),", "dob,") + sql[at:]
        elif way < 0.9:
            places = [m.end() for m in re.finditer(r"(?i)\bselect\b", sql)]
            if places:
                at = maker.random.choice(places)
                sql = sql[:at] + " " + maker.pick("ssn,", "p,", "(SELECT max(name) FROM patients),", "to_jsonb(patients),", "ctid,", "count(*) OVER (ORDER BY ssn),") + sql[at:]
        else:
            tokens = re.split(r"(\s+)", sql)
            if len(tokens) > 4:
                i, j = maker.random.randrange(len(tokens)), maker.random.randrange(len(tokens))
                if maker.chance(0.5):
                    tokens[i], tokens[j] = tokens[j], tokens[i]
                else:
                    del tokens[i]
                sql = "".join(tokens)
    return sql


def smith(dsn, seed, count):
    """SQLsmith's statements: each is an undecorated paragraph that ends with a semicolon."""
    prepared = subprocess.run(["psql", "-XAtq", dsn, "-c", "SELECT to_regnamespace('smith') IS NOT NULL"], capture_output=True, text=True)
    if prepared.stdout.strip() != "t":
        made = subprocess.run(["psql", "-Xq", "-v", "ON_ERROR_STOP=1", dsn, "-f", os.path.join(HERE, "sqlsmith.sql")], capture_output=True, text=True)
        if made.returncode:
            sys.exit(f"the database cannot be prepared for SQLsmith: {prepared.stderr}{made.stderr}")
    environment = {**os.environ, "PGOPTIONS": "-csearch_path=smith,pg_catalog,public"}
    statements = []
    # Most of them without system relations: there are so many that the schema's own would hardly occur.
    for more, share in ((["--exclude-catalog"], count - count // 10), ([], count // 10)):
        # Some are left out.
        command = ["sqlsmith", f"--target={dsn}", "--dry-run", f"--max-queries={3 * share // 2 + 10}", f"--seed={seed}", *more]
        printed = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment)
        found = []
        for text in re.split(r";\s*\n", printed.stdout):
            text = re.sub(r"\s+", " ", text).strip()
            # Samples by pages are refused, and what is chance tells nothing.
            text = re.sub(r"(?i)\btablesample (system|bernoulli) \([^)]*\)", "tablesample bernoulli (100)", text)
            # One row of many is another one in every order, and nobody asked for an order.
            text = re.sub(r"\(select (\w+) from ([\w.]+) limit 1 offset (\d+)\)", r"(select \1 from \2 order by \1::text limit 1 offset \3)", text)
            text = re.sub(r"\blimit \d+(?! offset)", "limit 100000", text)
            if re.match(r"(?i)(select|with|insert|update|delete|merge)\b", text) and not CHANCE.search(text):
                found.append(text)
        if share and not found:
            sys.exit(f"SQLsmith printed no statement: {printed.stderr[-2000:]}")
        statements += found[:share]
    return [f"{s};" if re.match(r"(?i)select", s) else f"BEGIN; {s}; ROLLBACK;" for s in statements[:count]]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--count", type=int, default=500)
    arguments.add_argument("--sqlsmith", metavar="DSN")
    arguments.add_argument("--output", required=True)
    arguments = arguments.parse_args()
    with open(arguments.output, "w", encoding="utf-8") as out:
        if arguments.sqlsmith:
            for at, sql in enumerate(smith(arguments.sqlsmith, arguments.seed, arguments.count), 1):
                out.write(f"-- @t smith{at} sqlsmith mask\n{sql}\n")
            return
        maker, seeds = Maker(arguments.seed), ordinary()
        for at in range(1, arguments.count + 1):
            if maker.chance(0.5):
                out.write(f"-- @t made{at} made mask\n{maker.statement()}\n")
            else:
                sql = mutated(maker, maker.random.choice(seeds))
                out.write(f"-- @t mutant{at} mutant mask\n{sql}\n")


if __name__ == "__main__":
    main()
