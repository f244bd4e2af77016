"""scripts/tidy.py catches what it claims to catch, and leaves alone what is fine."""
import importlib.util
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
spec = importlib.util.spec_from_file_location("tidy", ROOT / "scripts" / "tidy.py")
tidy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tidy)


def rules_broken(files):
    """The rules that a tree of {path: text} breaks, errors and warnings apart."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        checker = tidy.Tidy(folder)
        checker.run()
        name_of = lambda line: line.split("[", 1)[1].split("]", 1)[0]
        return {name_of(e) for e in checker.errors}, {name_of(w) for w in checker.warnings}


def errors(files):
    return rules_broken(files)[0]


def body(text):
    return "// Why this file exists.\n" + text


class Rules(unittest.TestCase):
    def test_an_arrow_that_points_up_is_an_error(self):
        self.assertEqual(errors({"libs/base/x.cpp": body('#include "net/loop.hpp"\n')}), {"layer"})

    def test_fleet_sees_base_alone(self):
        self.assertEqual(errors({"libs/fleet/x.cpp": body('#include "http/message.hpp"\n')}), {"layer"})
        self.assertEqual(errors({"libs/fleet/x.cpp": body('#include "base/time.hpp"\n')}), set())

    def test_a_library_does_not_know_the_programs(self):
        self.assertEqual(errors({"libs/proxy/x.cpp": body('#include "herd/app.hpp"\n')}), {"layer"})

    def test_an_include_that_cmake_does_not_link_is_an_error(self):
        files = {"libs/http/x.cpp": body('#include "net/loop.hpp"\n'),
                 "libs/http/CMakeLists.txt": "herd_library(http SOURCES x.cpp DEPS herd::base)\n"}
        self.assertEqual(errors(files), {"cmake-deps"})
        files["libs/http/CMakeLists.txt"] = "herd_library(http SOURCES x.cpp PRIVATE_DEPS herd::net)\n"
        self.assertEqual(errors(files), set())

    def test_a_header_that_shows_a_private_dependency_is_an_error(self):
        files = {"libs/http/x.hpp": '#pragma once\n// Why.\n#include "net/loop.hpp"\n',
                 "libs/http/CMakeLists.txt": "herd_library(http SOURCES x.cpp PRIVATE_DEPS herd::net)\n"}
        self.assertEqual(errors(files), {"cmake-deps"})

    def test_third_parties_stay_in_their_room(self):
        self.assertEqual(errors({"libs/proxy/x.cpp": body("#include <asio/post.hpp>\n")}), {"third-party"})
        self.assertEqual(errors({"libs/net/x.cpp": body("#include <asio/post.hpp>\n")}), set())
        self.assertEqual(errors({"apps/herd/x.cpp": body("#include <httplib.h>\n")}), {"third-party"})
        self.assertEqual(errors({"tests/unit/x.cpp": body("#include <httplib.h>\n")}), set())

    def test_the_systems_net_headers_are_not_our_room(self):
        self.assertEqual(errors({"libs/base/x.cpp": body("#include <net/if.h>\n")}), set())

    def test_a_header_begins_with_pragma_once(self):
        self.assertEqual(errors({"libs/base/x.hpp": "// Why.\nint f();\n"}), {"pragma-once"})
        self.assertEqual(errors({"libs/base/x.hpp": "#pragma once\n// Why.\nint f();\n"}), set())

    def test_the_own_header_comes_first(self):
        files = {"libs/base/x.hpp": "#pragma once\n// Why.\n", "libs/base/x.cpp": '#include <string>\n#include "base/x.hpp"\n'}
        self.assertEqual(errors(files), {"own-header-first"})
        files["libs/base/x.cpp"] = '#include "base/x.hpp"\n\n#include <string>\n'
        self.assertEqual(rules_broken(files), (set(), {"readme"}))

    def test_banned_calls_name_their_replacement(self):
        for line in ("std::mutex m;", "std::thread t;", "asio::co_spawn(a, b, c);", "strcpy(a, b);", "int i = std::rand();",
                     "std::this_thread::sleep_for(1s);", "const char* c = getenv(\"X\");", "assert(x);",
                     "auto n = std::chrono::system_clock::now();", "std::cout << 1;", "int i = std::stoi(s);"):
            with self.subTest(line):
                self.assertEqual(errors({"libs/proxy/x.cpp": body(line + "\n")}), {"banned-call"})

    def test_words_in_comments_and_literals_are_not_calls(self):
        self.assertEqual(errors({"libs/proxy/x.cpp": body('// std::mutex\nauto s = "strcpy(a)"; /* getenv( */\n'
                                                          'auto r = R"(assert(1))";\n')}), set())

    def test_neighbours_of_banned_names_are_fine(self):
        self.assertEqual(errors({"libs/proxy/x.cpp": body("static_assert(true);\nstd::thread::id owner;\nco_await net::sleep_for(l, d);\n"
                                                          "HERD_ASSERT(x);\nsnprintf_like(x);\nauto t = wall.time();\n")}), set())

    def test_an_answer_with_a_reason_is_accepted_and_one_without_is_not(self):
        self.assertEqual(errors({"libs/proxy/x.cpp": body("std::mutex m; // tidy: allow(banned-call) the driver calls back on its thread\n")}), set())
        self.assertEqual(errors({"libs/proxy/x.cpp": body("std::mutex m; // tidy: allow(banned-call)\n")}), {"banned-call"})

    def test_tests_may_call_what_they_like(self):
        self.assertEqual(errors({"tests/unit/x.cpp": body("std::thread t;\n")}), set())

    def test_a_todo_has_an_owner_and_an_issue(self):
        self.assertEqual(errors({"libs/base/x.cpp": body("// TODO: later\n")}), {"todo"})
        self.assertEqual(errors({"libs/base/x.cpp": body("// TODO(ada, #12): later\n")}), set())

    def test_paths_of_one_machine_are_errors_everywhere(self):
        self.assertEqual(errors({"docs/a.md": "see /wor" + "k/shared\n"}), {"machine-path"})
        self.assertEqual(errors({"scripts/a.sh": "cd /ro" + "ot\n"}), {"machine-path"})
        self.assertEqual(errors({"docs/a.md": "https://x.example/wor" + "k/a and ./wor" + "k/b and /herd/v1/ro" + "ot\n"}), set())

    def test_names_for_the_rest_are_errors(self):
        self.assertEqual(errors({"libs/base/string_utils.cpp": body("int i;\n")}), {"name"})

    def test_sizes_and_openings_only_warn(self):
        long_function = "void f()\n{\n" + "    g();\n" * 80 + "}\n"
        found, warned = rules_broken({"libs/base/x.cpp": long_function + "int i;\n" * 400, "libs/base/README.md": "x\n"})
        self.assertEqual(found, set())
        self.assertEqual(warned, {"size", "opening"})


if __name__ == "__main__":
    unittest.main()
