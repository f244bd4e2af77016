#!/usr/bin/env python3
"""Adds up what the test runners wrote (JUnit files of ctest and pytest): failures by name, skips by reason, one closing line.

Usage: scripts/summarize.py FILE.xml ...      exit 1 when something failed, or when nothing ran
"""
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

CATCH_PASSED = re.compile(r"All tests passed \(\d+ assertions? in (\d+) test cases?\)")
CATCH_MIXED = re.compile(r"^test cases:\s*(\d+)\s*\|(.*)$", re.M)
UNITTEST = re.compile(r"^Ran (\d+) tests? in ", re.M)


def cases_within(output):
    """(passed, failed) test cases inside one ctest entry, as its own runner counts them; None when it says nothing."""
    found = CATCH_PASSED.search(output)
    if found:
        return int(found.group(1)), 0
    found = CATCH_MIXED.search(output)
    if found:
        failed = re.search(r"(\d+) failed", found.group(2))
        failed = int(failed.group(1)) if failed else 0
        return int(found.group(1)) - failed, failed
    found = UNITTEST.search(output)
    return (int(found.group(1)), 0) if found else None


def read(path):
    """(passed, [failed names], [(skipped name, reason)]) of one file."""
    passed, failed, skipped = 0, [], []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = case.get("name", "?")
        if case.get("classname") and case.get("classname") != name:
            name = case.get("classname").rsplit(".", 1)[-1] + ": " + name
        output = "".join(part.text or "" for part in case.iter("system-out"))
        bad = case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail"
        lame = case.find("skipped")
        if bad:
            inside = cases_within(output)
            passed += inside[0] if inside else 0
            failed += [name] * max(1, inside[1] if inside else 1)
        elif lame is not None or case.get("status") in ("notrun", "disabled"):
            skipped.append((name, (lame.get("message") if lame is not None else "") or "not run"))
        else:
            inside = cases_within(output)
            passed += inside[0] if inside else 1
    return passed, failed, skipped


def main(paths):
    passed, failed, skipped = 0, [], []
    for path in paths:
        if not Path(path).exists() or not Path(path).stat().st_size:
            failed.append("%s (its runner ended without a result)" % Path(path).stem)
            continue
        a, b, c = read(path)
        passed, failed, skipped = passed + a, failed + b, skipped + c
    for name, times in Counter(failed).items():
        print("failed: %s%s" % (name, " (%d cases)" % times if times > 1 else ""))
    for reason, times in Counter(reason for _, reason in skipped).most_common():
        print("skipped: %d because %s" % (times, reason))
    print("%d passed, %d failed, %d skipped" % (passed, len(failed), len(skipped)))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
