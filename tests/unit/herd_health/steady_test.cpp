#include "world.hpp"

#include "herd/health/steady.hpp"

using namespace herd;
using namespace herd::test;

namespace {

struct Clinic : World {
    Steady steady{};
    std::shared_ptr<const Report> report{};

    void judge(base::Duration later = 1s)
    {
        now += later;
        history.see(fleet, now);
        report = steady.judge(evidence(), base::WallTime{});
    }
    [[nodiscard]] Severity of(std::string_view id) const
    {
        const auto found = std::ranges::find(report->checks, id, &CheckResult::id);
        REQUIRE(found != report->checks.end());
        return found->severity();
    }
};

} // namespace

TEST_CASE("a healthy fleet has every check, all ok, and 100 points")
{
    Clinic c;
    c.node(1);
    c.judge();
    CHECK(c.report->checks.size() == registry().size());
    CHECK(c.report->score == 100);
    for (const auto& check : c.report->checks) {
        CAPTURE(check.id);
        CHECK(check.severity() == Severity::ok);
    }
}

TEST_CASE("a finding is said when it has lasted, and withdrawn when it is gone for long")
{
    Clinic c;
    c.node(1);
    c.judge();
    c.facts(1, [](auto& f) { f.host.memory_available = 4 * base::gib; });
    c.judge();
    CHECK(c.of("memory_pressure") == Severity::ok);
    CHECK_FALSE(c.steady.changed());
    for (int i = 0; i < 10; ++i) {
        c.judge();
    }
    CHECK(c.of("memory_pressure") == Severity::warning);
    CHECK(c.report->checks.front().id == "memory_pressure");
    CHECK(c.report->score == 90);
    c.facts(1, [](auto& f) { f.host.memory_available = 20 * base::gib; });
    c.judge(10s);
    CHECK(c.of("memory_pressure") == Severity::warning); // held
    c.judge(21s);
    CHECK(c.of("memory_pressure") == Severity::ok);
    CHECK(c.steady.changed());
    c.judge();
    CHECK_FALSE(c.steady.changed());
}

TEST_CASE("what comes and goes is never said")
{
    Clinic c;
    c.node(1);
    for (int i = 0; i < 30; ++i) {
        c.facts(1, [i](auto& f) { f.host.memory_available = (i % 3 == 0 ? 20 : 4) * base::gib; });
        c.judge(2s);
        CHECK(c.of("memory_pressure") == Severity::ok);
    }
}

TEST_CASE("a finding grows worse at once and better slowly; new numbers are no change")
{
    Clinic c;
    c.node(1);
    c.facts(1, [](auto& f) { f.disk_total = 100 * base::gib, f.disk_free = 8 * base::gib; });
    c.judge();
    CHECK(c.of("disk_low") == Severity::warning);
    CHECK(c.steady.changed());
    c.facts(1, [](auto& f) { f.disk_free = 7 * base::gib; });
    c.judge();
    CHECK_FALSE(c.steady.changed());
    c.facts(1, [](auto& f) { f.disk_free = 2 * base::gib; });
    c.judge();
    CHECK(c.of("disk_low") == Severity::critical);
    CHECK(c.steady.changed());
    c.facts(1, [](auto& f) { f.disk_free = 4 * base::gib; });
    c.judge(30s);
    CHECK(c.of("disk_low") == Severity::critical);
    c.judge(31s);
    CHECK(c.of("disk_low") == Severity::warning);
}

TEST_CASE("points: twenty, ten, three, never below zero; activity and the past are free")
{
    const auto with = [](std::vector<Finding> findings) { return score_of({{.findings = std::move(findings)}}); };
    CHECK(with({}) == 100);
    CHECK(with({{.severity = Severity::critical}, {.severity = Severity::warning}, {.severity = Severity::info}}) == 67);
    CHECK(with({{.severity = Severity::info, .activity = true}, {.severity = Severity::info, .resolved = true}}) == 100);
    CHECK(with(std::vector<Finding>(9, {.severity = Severity::critical})) == 0);
}

TEST_CASE("two nodes of one check are two findings")
{
    Clinic c;
    c.node(1);
    c.node(2);
    c.judge();
    c.node(1).state = fleet::NodeState::offline;
    c.node(2).state = fleet::NodeState::offline;
    c.judge();
    const auto& check = c.report->checks.front();
    CHECK(check.id == "node_offline");
    CHECK(check.findings.size() == 2);
    CHECK(c.report->vitals.nodes_offline == 2);
}

TEST_CASE("ids are unique and every check has words")
{
    std::vector<std::string_view> ids;
    for (const Check& check : registry()) {
        CAPTURE(check.id);
        CHECK(std::ranges::find(ids, check.id) == ids.end());
        ids.push_back(check.id);
        CHECK_FALSE(check.title.empty());
        CHECK(check.meaning.ends_with('.'));
        CHECK_FALSE(check.advice.empty());
        CHECK(check.look != nullptr);
    }
}
