#!/usr/bin/env python3
"""Take conditions of crates/scope out one by one, and see whether what is sent for any case of the corpora changes.

A condition that can be taken out unnoticed has no case. Each `if`, each operand of it, and each closure of `any`, `all`, `filter`
and the like becomes a place that a variable of the environment turns to true or false: so everything is built once. The
sources are put back at the end, also after an interrupt; run it in a tree without changes in crates/scope.

  mutants.py CATALOG.json CORPUS.sql ... [--record FILE] [--only REGEX] [--tests] [--minutes N] [--jobs N]

CATALOG.json is what `GET /targets/world_a/catalog` gives. The room's own tests are asked first; what they do not notice is left to the corpora.
What nothing notices and need not be noticed stands in equivalent.toml, each with its reason: it is left out, and what stands there
and is noticed, or is not there any more, is told. `--record` keeps what was answered of each change: a later run asks what is not
in it, and again what nothing noticed. `--tests` asks the room's tests alone; `--minutes` for as many changes as there is time for, from
all files alike.
"""
import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
SOURCES = os.path.join(ROOT, "crates/scope/src")
EQUIVALENT = os.path.join(ROOT, "tests/worlds/equivalent.toml")
# All that decides: what only waits, asks or lists has no conditions of this kind.
LEFT_OUT = {"lib.rs", "pool.rs", "classification/propose.rs", "classification/propose/words.rs"}


def sources():
    """The files whose conditions are taken out: every one that is not a test's, so that a new one is not forgotten."""
    found, tests = [], []
    for folder, _, names in os.walk(SOURCES):
        for name in sorted(names):
            path = os.path.relpath(os.path.join(folder, name), SOURCES)
            if not name.endswith(".rs"):
                continue
            found.append(path)
            with open(os.path.join(SOURCES, path), encoding="utf-8") as file:
                modules = re.findall(r"#\[cfg\(test\)\]\n(?:pub\(crate\) )?mod (\w+);", file.read())
            beside = os.path.dirname(path) if name in ("lib.rs", "mod.rs") else path.removesuffix(".rs")
            tests += [os.path.join(beside, module) for module in modules]
    of_tests = {path for path in found for test in tests if path == f"{test}.rs" or path.startswith(f"{test}/")}
    return sorted(set(found) - of_tests - LEFT_OUT)


# Tests with large texts, each of which takes longer than all others together: asked of what they are about alone.
SLOW = {
    "limits.rs": ["no_text_makes_it_panic", "hostile_sizes_end_cleanly"],
    "analyse.rs": ["what_may_be_deep_is_written_out_where_it_is"],
    "classification/file.rs": ["a_long_file_is_read_in_pieces_with_the_same_result"],
}

SWITCH = '''
/// One condition is not what it says; for mutants.py.
pub(crate) fn mutant(place: u32, value: bool) -> bool {
    static TURNED: std::sync::OnceLock<Option<(u32, bool)>> = std::sync::OnceLock::new();
    let turned = TURNED.get_or_init(|| {
        let text = std::env::var("MUTANT").ok()?;
        let (place, to) = text.split_once(':')?;
        Some((place.parse().ok()?, to == "true"))
    });
    match turned {
        Some((turned, to)) if *turned == place => *to,
        _ => value,
    }
}
'''
# What is asked a thousand times is worth the compiler's time; in a folder of its own, so that nothing else is built again.
TARGET = os.path.join(ROOT, "target/mutants")
OPTIMISED = ["profile.dev.package.chaperone-scope.opt-level=1", "profile.dev.package.pg_query.opt-level=2", "profile.dev.debug=false"]
PACKAGE = ["--package", "chaperone-scope", "--target-dir", TARGET, *[word for one in OPTIMISED for word in ("--config", one)]]
# Address space of one program that is asked: stacks of threads are most of it.
MEMORY_MAX = 24 << 30


def balanced(text, start, ends):
    """The end of an expression: the first of `ends` outside of brackets and quotes."""
    depth, at = 0, start
    while at < len(text):
        char = text[at]
        if char == '"':
            at += 1
            while text[at] != '"':
                at += 2 if text[at] == "\\" else 1
        elif char == "'":
            match = re.match(r"'(?:\\.[^']*|[^'\\])'", text[at:])
            at += len(match.group()) - 1 if match else 0
        elif depth == 0 and any(text.startswith(end, at) for end in ends):
            return at
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            if depth == 0:
                return at
            depth -= 1
        at += 1
    return None


def operands(text):
    """The operands of && and ||, where there are several; else the whole."""
    parts, start = [], 0
    while True:
        end = balanced(text, start, ["&&", "||"])
        if end is None or end >= len(text):
            parts.append((start, len(text)))
            return parts
        if text[end] in ")]}":
            return [(0, len(text))]
        parts.append((start, end))
        start = end + 2


def places(text):
    """Spans of conditions."""
    found = set()
    for match in re.finditer(r"\bif (?!let\b)", text):
        end = balanced(text, match.end(), ["{", "=>"])
        if end is None:
            continue
        condition = text[match.end():end]
        if re.search(r"\blet\b", condition):
            continue
        for start, stop in operands(condition):
            found.add((match.end() + start, match.end() + stop))
    for match in re.finditer(r"\.(?:any|all|filter|retain|is_some_and|is_none_or|skip_while|take_while|position|find)\(\|[^|]*\| (?!\{)", text):
        end = balanced(text, match.end(), [])
        if end is not None and not re.search(r"\blet\b|\?$", text[match.end():end]):
            for start, stop in operands(text[match.end():end]):
                found.add((match.end() + start, match.end() + stop))
    return sorted(found)


# What divides expressions: texts, which are gone over; what joins; what begins one anew, closures and fields among it; brackets.
PART = re.compile(
    r"""(?P<literal>(?:(?<!\w)r)?"(?:\\.|[^"\\])*"|'(?:\\.[^\\']*|[^'\\])')
    |(?P<joins>(?<=\s)(?<!move\s)(?:&&|\|\|)(?=\s))
    |(?P<begins>\b(?:if|while|match|return|else|let|in)\b|\|[^|;{}()]*(?:\([^()]*\)[^|;{}()]*)*\|(?=[ ])|=>|[;,]|(?<!:):(?!:)|(?<![=!<>])=(?![=>]))
    |(?P<opens>[(\[{])|(?P<closes>[)\]}])""",
    re.S | re.X,
)


def chained(text):
    """Spans of what && and || join, wherever it stands: in what a function gives, in a binding, beside a `let` of a condition."""
    found, starts, at = set(), [(0, False)], 0

    def ended(at):
        start, joined = starts[-1]
        if joined:
            found.add((start, at))

    while part := PART.search(text, at):
        at, (start, joined) = part.end(), starts[-1]
        if part["joins"] and text[start:part.start()].strip():
            found.add((start, part.start()))
            starts[-1] = (at, True)
        elif part["joins"] or part["begins"]:
            of_condition = joined or re.search(r"\b(?:if|while)$", text[max(0, start - 6):start])
            if part.group() in ("let", "=") and of_condition and re.match(r"\s*let\b", text[start:at]):
                # A `let` of a condition is one of its operands, and none that can be turned.
                continue
            ended(part.start())
            starts[-1] = (at, False)
        elif part["opens"]:
            if part.group() == "{":
                ended(part.start())
                starts[-1] = (at, False)
            starts.append((at, False))
        elif part["closes"]:
            ended(part.start())
            starts.pop()
            if part.group() == "}":
                starts[-1] = (at, False)
    return {span for span in found if re.match(r"\s*[\w!(*&]", text[span[0]:span[1]])}


def instrumented(text, name, mutants):
    """The source with a switch at each condition."""
    code = text.split("#[cfg(test)]\nmod tests {")[0]
    plain = re.sub(r"//[^\n]*", lambda comment: " " * len(comment.group()), code)
    spans = set()
    for start, stop in [*places(plain), *chained(plain)]:
        raw = plain[start:stop]
        if raw.strip() and not re.search(r"\blet\b", raw):
            spans.add((start + len(raw) - len(raw.lstrip()), stop - len(raw) + len(raw.rstrip())))
    inner = [span for span in sorted(spans) if not any(other != span and span[0] <= other[0] and other[1] <= span[1] for other in spans)]
    out, at = [], 0
    for start, stop in inner:
        line = text.count("\n", 0, start) + 1
        before = text.rfind("\nconst ", 0, start)
        if before >= 0 and text.find(";", before) > start:
            continue
        number = len(mutants)
        names = re.findall(r"\bfn (\w+)", text[:start])
        condition = re.sub(r"\s+", " ", text[start:stop])
        mutants.append({"file": name, "line": line, "function": names[-1] if names else "", "condition": condition})
        out += [text[at:start], f"crate::mutant({number}, {text[start:stop]})"]
        at = stop
    return "".join(out) + text[at:]


def run(command, **more):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **more)


def built():
    """Build the program that prints words, and the room's tests; where they are."""
    result = run(["cargo", "test", "--no-run", *PACKAGE, "--message-format=json"])
    told = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    made = {("tests" if one["profile"]["test"] else one["target"]["name"]): one["executable"] for one in told if one.get("executable")}
    if result.returncode or not {"words", "tests"} <= made.keys():
        errors = [one["message"]["rendered"] for one in told if one.get("reason") == "compiler-message" and one["message"]["level"] == "error"]
        sys.exit("it does not build:\n" + "\n".join(errors[:5] or [result.stderr]))
    return made["words"], made["tests"]


def named(mutant, to):
    """What a change is called in reports and in equivalent.toml: lines move, these words do so only with the rule."""
    return f"{mutant['file']} {mutant['function']}: {mutant['condition']} -> {to}"


def equivalent():
    """Name of a change -> why nothing has to notice it."""
    if not os.path.exists(EQUIVALENT):
        return {}
    with open(EQUIVALENT, "rb") as file:
        return {change: group["reason"] for group in tomllib.load(file).values() for change in group["changes"]}


def instrumented_programs(folder):
    """Build with all switches, put the sources back, and keep the programs where no later build replaces them."""
    kept, mutants = {}, []
    try:
        for name in [*sources(), "lib.rs"]:
            path = os.path.join(SOURCES, name)
            with open(path, encoding="utf-8") as file:
                kept[path] = file.read()
            text = kept[path] + SWITCH if name == "lib.rs" else instrumented(kept[path], name, mutants)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        programs = [shutil.copy(program, os.path.join(folder, name)) for program, name in zip(built(), ("words", "tests"))]
    finally:
        for path, text in kept.items():
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    return mutants, *programs


class Asked:
    """Whether the room's tests, or what is sent for the corpora's cases, change with a condition."""

    def __init__(self, words, tests, catalog, corpora):
        self.words, self.tests = [words, catalog, *corpora], [tests, "--format=pretty"]
        self.longest_s = None
        begun = time.monotonic()
        self.plain = []
        if self.said(self.words, None, self.plain.append) != 0 or self.by_tests("", None):
            sys.exit("the program or the room's tests fail where nothing is turned")
        # A change that makes something endless is noticed.
        self.longest_s = 15 + 20 * (time.monotonic() - begun)

    def said(self, command, turned, enough):
        """Read what a program says until that is enough; how it ended, if it did."""
        environment = {**os.environ, "MUTANT": turned or ""}
        where = os.path.join(ROOT, "crates/scope") if command is not self.words else ROOT
        alone = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "env": environment, "cwd": where}
        with subprocess.Popen(command, **alone, preexec_fn=bounded) as program:
            timer = threading.Timer(self.longest_s or 600, program.kill)
            timer.start()
            try:
                if any(enough(line) for line in program.stdout):
                    program.kill()
                    return None
                return program.wait()
            finally:
                timer.cancel()

    def by_tests(self, turned, file):
        skipped = [word for bounds, names in SLOW.items() if bounds != file for name in names for word in ("--skip", name)]
        return self.said([*self.tests, *skipped], turned, lambda line: line.rstrip().endswith(b"FAILED")) != 0

    def by_cases(self, turned):
        left = iter(self.plain)
        return self.said(self.words, turned, lambda line: line != next(left, None)) != 0 or next(left, None) is not None


def bounded():
    """A change that makes something grow without end ends at this, and not at the machine's."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))


class Record:
    """What was answered of each change, kept over runs: a line for each condition, by file, with what noticed when it always
    and when it never holds."""

    def __init__(self, path):
        self.path, self.answers = path, {}
        self.written, self.one_at_a_time = time.monotonic(), threading.Lock()
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.answers = self.read(file)

    @staticmethod
    def read(lines):
        answers, of = {}, None
        for line in lines:
            if line.startswith("["):
                of = line.strip().strip("[]")
            elif line.strip() and not line.startswith("#"):
                always, never, condition = line.rstrip("\n").split("\t")
                condition, number = re.fullmatch(r"(.*?)((?: #\d+)?)", condition).groups()
                for to, by in (("true", always), ("false", never)):
                    if by != "-":
                        answers[f"{of} {condition} -> {to}{number}"] = "nothing" if by == "judged" else by
        return answers

    def forget(self, every):
        """Of what is not there any more nothing is kept."""
        self.answers = {change: by for change, by in self.answers.items() if change in every}

    def write(self, every, known, at_once=False):
        """Now and then, so that what was asked is not lost with whoever asks."""
        if self.path and (at_once or time.monotonic() > self.written + 10):
            with self.one_at_a_time:
                self.written = time.monotonic()
                with open(self.path, "w", encoding="utf-8") as file:
                    file.write("\n".join(outcome(every, dict(self.answers), known)) + "\n")


def outcome(every, answers, known):
    """The lines of a record, in the order of the sources."""
    files = {}
    for name, (_, mutant, to) in every.items():
        by = answers.get(name, "-")
        by = "judged" if by == "nothing" and name.split(" #")[0] in known else by
        condition = name.removeprefix(mutant["file"] + " ").replace(f" -> {to}", "")
        files.setdefault(mutant["file"], {}).setdefault(condition, {})[to] = by
    counts = {of: collections.Counter(by for pair in found.values() for by in pair.values()) for of, found in files.items()}
    kinds = [kind for kind in ("tests", "cases", "judged", "nothing", "not by tests", "-") if any(count[kind] for count in counts.values())]
    row = "# {:28}" + "{:>14}" * (len(kinds) + 1)
    yield "# What noticed when a condition of crates/scope always held, and when it never did; `-` was not asked. By mutants.py."
    yield "#"
    yield row.format("file", "changes", *("not asked" if kind == "-" else kind for kind in kinds))
    for of, count in {**counts, "all": sum(counts.values(), collections.Counter())}.items():
        yield row.format(of, count.total(), *(count[kind] for kind in kinds))
    for of, found in files.items():
        yield f"\n[{of}]"
        yield from ("\t".join((pair["true"], pair["false"], condition)) for condition, pair in found.items())


def numbered(mutants):
    """Every change once: its name, the number of its switch, and to what it is turned. Where conditions of a function read the
    same, those after the first have a number."""
    seen, found = {}, {}
    for number, mutant in enumerate(mutants):
        for to in ("true", "false"):
            name = named(mutant, to)
            seen[name] = seen.get(name, 0) + 1
            found[name if seen[name] == 1 else f"{name} #{seen[name]}"] = (number, mutant, to)
    return found


def wanted(every, record, arguments):
    """Which changes are asked about: in the order of the files, or in one that is as good a sample wherever it ends."""
    found = []
    for name, (number, mutant, to) in every.items():
        if arguments.only and not re.search(arguments.only, f"{mutant['file']}:{mutant['line']}"):
            continue
        if record.answers.get(name) not in ("tests", "cases"):
            found.append((name, number, mutant["file"], to))
    if arguments.minutes is not None:
        found.sort(key=lambda one: hashlib.sha256(one[0].encode()).digest())
    return found


def told(every, answers, known):
    """Print what came of it; how many changes nothing noticed, and nobody judged."""
    counts = {by: sum(1 for answer in answers.values() if answer == by) for by in ("tests", "cases", "nothing", "not by tests")}
    missed = [name for name, by in answers.items() if by in ("nothing", "not by tests")]
    open_ones = [name for name in missed if name.split(" #")[0] not in known]
    print(
        f"{len(answers)} of {len(every)} changes: {counts['tests']} noticed by the room's tests, {counts['cases']} by cases only, "
        f"{counts['nothing']} by nothing, {counts['not by tests']} not by tests and not asked of cases; of these {len(open_ones)} have no reason"
    )
    for name in open_ones:
        print(f"{every[name][1]['line']}: {name[:250]}")
    unnoticed = {name.split(" #")[0] for name in missed}
    names = {name.split(" #")[0] for name in every}
    noticed = {name.split(" #")[0] for name in answers} - unnoticed
    # Two conditions of a function may read the same: what is noticed of one says nothing of the other.
    for name in sorted(known.keys() & noticed | known.keys() - names):
        print(f"equivalent.toml names what is noticed, or is not there: {name}")
    return len(open_ones)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("catalog")
    arguments.add_argument("corpora", nargs="+")
    arguments.add_argument("--record", metavar="FILE", help="keep answers there, and ask only for what has none")
    arguments.add_argument("--only", help="regular expression on file:line")
    arguments.add_argument("--tests", action="store_true", help="ask the room's tests, and no case")
    arguments.add_argument("--minutes", type=float, help="stop asking after so long")
    arguments.add_argument("--jobs", type=int, default=1, help="how many are asked about at a time")
    arguments = arguments.parse_args()
    if run(["git", "status", "--porcelain", "crates/scope/src"]).stdout.strip():
        sys.exit("crates/scope has changes: commit them first")
    record, known = Record(arguments.record), equivalent()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        mutants, words, tests = instrumented_programs(folder)
        every = numbered(mutants)
        programs = Asked(words, tests, arguments.catalog, arguments.corpora)
        until = time.monotonic() + 60 * (arguments.minutes or float("inf"))

        def ask(one):
            name, number, file, to = one
            if time.monotonic() >= until:
                return
            if programs.by_tests(f"{number}:{to}", file):
                record.answers[name] = "tests"
            elif arguments.tests:
                record.answers[name] = "not by tests"
            else:
                record.answers[name] = "cases" if programs.by_cases(f"{number}:{to}") else "nothing"
            record.write(every, known)

        asked = wanted(every, record, arguments)
        print(f"asking of {len(asked)} changes", file=sys.stderr)
        record.forget(every)
        try:
            with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
                list(pool.map(ask, asked))
        finally:
            record.write(every, known, at_once=True)
    sys.exit(1 if told(every, record.answers, known) else 0)


if __name__ == "__main__":
    main()
