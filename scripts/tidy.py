#!/usr/bin/env python3
"""Reads the tree the way a careful neighbour would, in under two seconds.

Compilers check types; this checks the house: who may include whom, which calls have a better name here, and what
would make the next reader stumble. It runs as the test `tidy`. An error says what to write instead. Who has a good
reason answers on the line itself, or on the line above:

    // tidy: allow(banned-call) the reason

Usage: scripts/tidy.py [--root DIR] [--warnings]    exit 1 when there are errors; warnings never fail
"""
import argparse
import collections
import re
import subprocess
import sys
from pathlib import Path

# ----------------------------------------------------------------------------------------------- the one table
# Room -> the rooms it may include. docs/ARCHITECTURE.md draws the same picture; CMake's DEPS must agree.
ROOMS = {
    "base": set(),
    "config": {"base"},
    "net": {"base"},
    "fleet": {"base"},
    "http": {"base", "net"},
    "discovery": {"base", "net", "fleet", "http"},
    "proxy": {"base", "net", "fleet", "http"},
    "store": {"base", "net", "fleet", "http"},
}
APPS = {"herd", "herd-node"}  # assemble: may include every room, never one another

# Third party -> (pattern of the #include, where it may stand, whether headers may show it)
THIRD_PARTIES = {
    "Asio": (r"asio[./]", ("libs/net/",), True),
    "OpenSSL": (r"openssl/", ("libs/net/",), False),
    "llhttp": (r"llhttp\.h", ("libs/http/",), False),
    "spdlog": (r"spdlog/", ("libs/base/",), False),
    "fmt": (r"fmt/", ("libs/", "apps/"), False),
    "simdjson": (r"simdjson", ("libs/http/", "libs/proxy/", "libs/discovery/", "apps/"), False),
    "nlohmann/json": (r"nlohmann/", ("libs/discovery/", "libs/proxy/", "libs/store/", "apps/"), False),
    "zstd": (r"zstd", ("libs/http/", "libs/proxy/"), False),
    "CLI11": (r"CLI/", ("libs/config/",), False),
    "toml++": (r"toml\+\+/", ("libs/config/",), False),
    "cpp-httplib": (r"httplib\.h", ("apps/cli/",), False),
    "SQLite": (r"sqlite3", ("libs/store/",), False),
    "prometheus-cpp": (r"prometheus/", ("libs/proxy/", "apps/herd/"), False),
    "Catch2": (r"catch2?/", (), False),
}

# (what is meant, pattern, where it is fine, what to write instead). Not applied under tests/.
BANNED = [
    ("threads and locks", r"std::(?:jthread\b|thread\b(?!::id|::hardware_concurrency)|mutex|shared_mutex|recursive_mutex|condition_variable)\b",
     ("libs/net/", "libs/base/log", "libs/store/", "libs/config/"),
     "post to the owning net::Loop, or use net::Blocking for work that blocks"),
    ("co_spawn", r"\bco_spawn\b", ("libs/net/",), "net::TaskGroup::spawn, so that every task has an owner"),
    ("detached", r"\bdetached\b(?!_)", ("libs/net/",), "net::TaskGroup::spawn, so that every task has an owner"),
    ("unbounded C string call", r"\b(?:strcpy|strcat|sprintf|vsprintf|gets|strtok)\s*\(", (), "std::string or fmt::format"),
    ("number parsing that throws or guesses", r"\b(?:atoi|atol|atoll|atof|stoi|stol|stoul|stoull|stod|sscanf)\s*\(", (),
     "base::parse_unsigned, std::from_chars or base/units.hpp"),
    ("std::rand", r"\b(?:std::rand|srand|rand|std::random_device)\b\s*[({]?", ("libs/base/random",), "base::Rng (seeded, injected)"),
    ("the wall clock", r"\bsystem_clock::now\b|\bgettimeofday\b|\btime\(\s*(?:nullptr|NULL|0)\s*\)", ("libs/base/",),
     "base::Clock::wall(), injected"),
    ("the steady clock", r"\bsteady_clock::now\b", ("libs/base/", "libs/net/"), "net::Loop::now() or an Instant passed in"),
    ("getenv", r"\bgetenv\b", ("libs/config/", "apps/"), "an option in the program's table (libs/config)"),
    ("sleeping", r"\bthis_thread::sleep|\busleep\s*\(|\bnanosleep\s*\(|(?<![\w:])sleep\s*\(", (), "net::sleep_for in a task, or a net::Timer"),
    ("printing", r"std::(?:cout|cerr|clog)\b|(?<![\w:])f?printf\s*\(", ("apps/", "libs/base/assert", "libs/base/log"), "base/log.hpp"),
    ("assert", r"(?<![\w_])assert\s*\(", (), "HERD_ASSERT (on in release builds), or a Result for what others can cause"),
    ("std::regex", r"std::regex\b", (), "plain code: its recursion overflows the stack on hostile input"),
    ("system", r"(?<![\w:.])(?:std::)?system\s*\(|\bpopen\s*\(", (), "a typed interface; nothing here runs a shell"),
]
# -----------------------------------------------------------------------------------------------------------------

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
LINE_LENGTH_MAX = 120

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(<([^>]+)>|"([^"]+)")', re.M)
ALLOW = re.compile(r"tidy:\s*allow\(([\w-]+)\)\s*(\S?)")
NOISE = re.compile(r'R"([^(\s]*)\((?:.*?)\)\1"|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.S)
TODO = re.compile(r"\b(?:TODO|FIXME|XXX)\b(?!\(\w[\w.-]*,\s*#\d+\))")
MACHINE_PATH = re.compile(r"(?<![\w.$}/-])/(?:work|farm|root|home/[a-z_][\w-]*)(?=/|\b(?![\w.-]))")
TEXT_SUFFIXES = {".cpp", ".hpp", ".h", ".c", ".py", ".cmake", ".txt", ".md", ".json", ".toml", ".sh", ".js", ".mjs",
                 ".ts", ".tsx", ".html", ".css", ".service", ".yml", ".yaml", ""}


def blank(match):
    """Comments and literals become spaces, so that lines keep their numbers."""
    return re.sub(r"[^\n]", " ", match.group(0))


class Tidy:
    def __init__(self, root):
        self.root = Path(root)
        self.errors, self.warnings = [], []
        self.deps = {}  # room -> (public deps, all deps), as CMake has them
        self.used = {}  # room -> {room included: first place}

    # -------------------------------------------------------------------------------------------------- reporting
    def say(self, path, line_number, rule, text, lines=None, warning=False):
        if lines is not None and line_number:
            for candidate in (lines[line_number - 1], lines[line_number - 2] if line_number > 1 else ""):
                answer = ALLOW.search(candidate)
                if answer and answer.group(1) == rule:
                    if answer.group(2) and answer.group(2) != "*":
                        return
                    text = "an answering comment needs a reason: tidy: allow(%s) why" % rule
                    warning = False
        where = "%s:%d" % (path, line_number) if line_number else str(path)
        (self.warnings if warning else self.errors).append("%s: [%s] %s" % (where, rule, text))

    # ------------------------------------------------------------------------------------------------------ files
    def files(self):
        """What git knows or would add; without git, every file outside build/."""
        try:
            listing = subprocess.run(["git", "-C", str(self.root), "ls-files", "-co", "--exclude-standard", "-z"],
                                     capture_output=True, check=True).stdout.decode()
            names = sorted({name for name in listing.split("\0") if name})
        except (OSError, subprocess.CalledProcessError):
            names = sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file()
                           and not {"build", ".git", "node_modules", "__pycache__"} & set(p.relative_to(self.root).parts))
        return [name for name in names if Path(name).suffix in TEXT_SUFFIXES and (self.root / name).is_file()
                and (self.root / name).stat().st_size < 1_000_000]

    def run(self):
        names = self.files()
        for name in names:
            try:
                text = (self.root / name).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # recorded bytes, corpora
            if "\0" in text or "/corpus/" in name:
                continue
            lines = text.split("\n")
            self.any_text(name, text, lines)
            if Path(name).suffix in {".cpp", ".hpp", ".h", ".c"}:
                self.source(name, text, lines)
            elif Path(name).name == "CMakeLists.txt" and name.startswith("libs/"):
                self.cmake(name, text)
        self.compare_layers()
        self.readmes(names)
        return not self.errors

    def any_text(self, name, text, lines):
        if name == "scripts/tidy.py" or name.endswith("tidy_test.py"):
            return
        recorded = name.startswith("tests/")  # what other programs print may name a home directory
        for pattern, rule, advice in (
                (TODO, "todo", "write TODO(owner, #issue), or do it"),
                (MACHINE_PATH, "machine-path", "a path of one machine; use a relative one, $HOME or an option")):
            for match in pattern.finditer(text):
                if recorded and match.group(0).startswith(("/root", "/home")):
                    continue
                self.say(name, text.count("\n", 0, match.start()) + 1, rule, "%r: %s" % (match.group(0), advice), lines)

    # ---------------------------------------------------------------------------------------------------- sources
    def source(self, name, text, lines):
        parts = name.split("/")
        product = parts[0] in ("libs", "apps")
        includes = [(text.count("\n", 0, m.start()) + 1, m.group(2) or m.group(3), m.group(3) is not None)
                    for m in INCLUDE.finditer(text)]
        self.opening(name, lines, includes)
        if product:
            self.layers(name, lines, includes)
            self.third_parties(name, lines, includes)
            self.banned(name, text, lines)
            if re.search(r"(?:^|_)(?:manager|helpers?|utils?|misc|common)(?:_|$)", Path(name).stem):
                self.say(name, 0, "name", "names for 'the rest' hide what is inside; name the idea")
        self.sizes(name, lines)

    def opening(self, name, lines, includes):
        header = name.endswith((".hpp", ".h"))
        first = next((i for i, line in enumerate(lines) if line.strip()), None)
        if first is None:
            return
        if header:
            code = [line for line in lines if line.strip() and not line.lstrip().startswith("//")]
            if not code or code[0].strip() != "#pragma once":
                self.say(name, first + 1, "pragma-once", "a header begins with #pragma once", lines)
            prose = next((line for line in lines if line.strip() and line.strip() != "#pragma once"), "")
            if not prose.lstrip().startswith(("//", "/*")):
                self.say(name, first + 1, "opening", "open with prose: why does this file exist?", lines, warning=True)
            return
        beside = Path(name).with_suffix(".hpp")
        own = str(beside).split("/", 1)[1] if (self.root / beside).exists() else None
        if own is not None and includes and includes[0][1] not in (own, beside.name):
            self.say(name, includes[0][0], "own-header-first", 'include "%s" first, so that it is known to compile alone' % own, lines)
        if own is None and not lines[first].lstrip().startswith(("//", "/*")) and not name.endswith("_test.cpp"):
            self.say(name, first + 1, "opening", "open with prose: why does this file exist?", lines, warning=True)

    def layers(self, name, lines, includes):
        parts = name.split("/")
        room = parts[1]
        for number, include, quoted in includes:
            if not quoted:
                continue
            target = include.split("/")[0]
            if parts[0] == "apps":
                if target in APPS and target != room:
                    self.say(name, number, "layer", "one program does not include another's headers", lines)
                continue
            if target in APPS:
                self.say(name, number, "layer", "a library does not know the programs", lines)
            elif target in ROOMS and target != room:
                entry = self.used.setdefault(room, {}).setdefault(target, [name, number, False])
                entry[2] = entry[2] or name.endswith(".hpp")
                if room in ROOMS and target not in ROOMS[room]:
                    self.say(name, number, "layer", "%s may include %s; pass a value through the app instead"
                             % (room, ", ".join(sorted(ROOMS[room])) or "nothing"), lines)
            if "/internal/" in include and target != room:
                self.say(name, number, "layer", "internal/ of another room", lines)

    def third_parties(self, name, lines, includes):
        for number, include, _ in includes:
            for party, (pattern, places, in_headers) in THIRD_PARTIES.items():
                if not re.match(pattern, include):
                    continue
                if not name.startswith(places or ("tests/",)):
                    self.say(name, number, "third-party", "%s belongs in %s" % (party, " or ".join(places) or "tests/"), lines)
                elif name.endswith(".hpp") and not in_headers:
                    self.say(name, number, "heavy-header", "%s in a header costs every includer; keep it in the .cpp" % party,
                             lines, warning=True)

    def banned(self, name, text, lines):
        code = NOISE.sub(blank, text)
        for what, pattern, places, instead in BANNED:
            if name.startswith(places or ("\0",)):
                continue
            for match in re.finditer(pattern, code):
                number = code.count("\n", 0, match.start()) + 1
                if "include" in lines[number - 1] and lines[number - 1].lstrip().startswith("#"):
                    continue
                self.say(name, number, "banned-call", "%s (%s): use %s" % (match.group(0).strip(" ({"), what, instead), lines)

    def sizes(self, name, lines):
        if len(lines) > FILE_LINES_MAX:
            self.say(name, 0, "size", "%d lines: does it hold two ideas?" % len(lines), warning=True)
        opened = None
        for i, line in enumerate(lines, 1):
            if line == "{":
                opened = i
            elif opened and line.startswith("}"):
                if i - opened > FUNCTION_LINES_MAX:
                    self.say(name, opened, "size", "a function of %d lines does not fit a screen" % (i - opened), lines, warning=True)
                opened = None
            if len(line) > LINE_LENGTH_MAX and not name.startswith("tests/"):
                self.say(name, i, "size", "%d columns" % len(line), lines, warning=True)

    # ------------------------------------------------------------------------------------------- CMake and READMEs
    def cmake(self, name, text):
        text = re.sub(r"#[^\n]*", "", text)
        for room, body in re.findall(r"herd_library\(\s*([\w-]+)(.*?)\)", text, re.S):
            public = re.search(r"(?<!_)\bDEPS\b(.*?)(?=\b(?:SOURCES|HEADERS|PRIVATE_DEPS)\b|$)", body, re.S)
            private = re.search(r"\bPRIVATE_DEPS\b(.*?)(?=\b(?:SOURCES|HEADERS|(?<!_)DEPS)\b|$)", body, re.S)
            rooms = lambda found: set(re.findall(r"herd::([\w-]+)", found.group(1))) if found else set()
            self.deps[room] = (rooms(public), rooms(public) | rooms(private))
            if room not in ROOMS:
                self.say(name, 0, "layer", "room %r is missing from the table in scripts/tidy.py and docs/ARCHITECTURE.md" % room)
            for target in sorted(self.deps[room][1] - ROOMS.get(room, set())):
                if target in ROOMS and room in ROOMS:
                    self.say(name, 0, "layer", "%s links herd::%s, which the table does not allow" % (room, target))

    def reach(self, room, public_only):
        """Rooms whose headers `room` can see through its DEPS."""
        seen, todo = set(), list(self.deps.get(room, (set(), set()))[0 if public_only else 1])
        while todo:
            target = todo.pop()
            if target not in seen:
                seen.add(target)
                todo += self.deps.get(target, (set(), set()))[0]
        return seen

    def compare_layers(self):
        for room, targets in sorted(self.used.items()):
            if room not in self.deps:
                continue
            for target, (name, number, in_header) in sorted(targets.items()):
                if target not in self.reach(room, False):
                    self.say(name, number, "cmake-deps", "includes %s, but libs/%s/CMakeLists.txt does not link herd::%s" % (target, room, target))
                elif in_header and target not in self.reach(room, True):
                    self.say(name, number, "cmake-deps", "a header shows %s, so herd::%s belongs in DEPS, not PRIVATE_DEPS" % (target, target))
        for room, (_, linked) in sorted(self.deps.items()):
            for target in sorted(linked & set(ROOMS)):
                if target not in self.used.get(room, {}) and room in self.used:
                    self.say("libs/%s/CMakeLists.txt" % room, 0, "cmake-deps", "links herd::%s, which no file includes" % target, warning=True)

    def readmes(self, names):
        for room in sorted({name.split("/")[1] for name in names if re.match(r"libs/[\w-]+/.*\.[ch]pp$", name)}):
            if "libs/%s/README.md" % room not in names:
                self.say("libs/%s" % room, 0, "readme", "a room wants a README.md: why it exists, what belongs here, where to start", warning=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--root", default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--warnings", action="store_true", help="list the warnings too, not only their number")
    options = parser.parse_args()
    tidy = Tidy(options.root)
    fine = tidy.run()
    if options.warnings:
        for line in tidy.warnings:
            print("warning: " + line)
    for line in tidy.errors:
        print("error: " + line)
    rules = collections.Counter(line.split("[", 1)[1].split("]", 1)[0] for line in tidy.warnings)
    print("tidy: %d errors, %d warnings%s" % (len(tidy.errors), len(tidy.warnings), "".join(", %d %s" % (n, rule) for rule, n in rules.most_common())))
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
