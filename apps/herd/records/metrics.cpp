#include "herd/records/metrics.hpp"

#include "herd/records/fleet_gauges.hpp"

#include <array>
#include <iterator>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace herd::app {

namespace {

using prometheus::Counter;
using prometheus::Histogram;
using prometheus::Labels;

/// From a cached first token to a cold load of a large model.
const Histogram::BucketBoundaries seconds_buckets{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                                  1,     2.5,    5,     10,   30,    60,   120, 300,  600};
const Histogram::BucketBoundaries rate_buckets{1, 2, 5, 10, 20, 30, 40, 60, 80, 100, 150, 200, 300, 500};

constexpr base::Duration real_load = std::chrono::milliseconds{100}; ///< a resident model tells some milliseconds too

/// Label values seen so far; those beyond the limit are one.
class Names {
public:
    explicit Names(std::size_t limit) : limit_(limit) {}
    const std::string& of(const std::string& text)
    {
        static const std::string other = "other";
        if (const auto known = names_.find(text); known != names_.end()) {
            return known->second;
        }
        if (names_.size() >= limit_) {
            return other;
        }
        return names_.emplace(text, label_value(text)).first->second;
    }
    [[nodiscard]] bool knows(const std::string& text) const { return names_.contains(text); }
    [[nodiscard]] const std::unordered_map<std::string, std::string>& all() const { return names_; }

private:
    std::size_t limit_;
    std::unordered_map<std::string, std::string> names_;
};

/// A family whose series are found by the values of their labels, without building a map of labels each time.
template <class T, std::size_t N>
class Series {
public:
    using Values = std::array<std::string_view, N>;
    Series(prometheus::Family<T>& family, std::array<const char*, N> labels, std::size_t limit)
        : family_(family), labels_(labels), limit_(limit)
    {
    }
    template <class... Args>
    T& of(const Values& values, const Args&... args)
    {
        key_.clear();
        for (const std::string_view value : values) {
            key_.append(value).push_back('\0');
        }
        if (const auto known = series_.find(key_); known != series_.end()) {
            return *known->second;
        }
        if (series_.size() >= limit_) {
            return make("other", args...);
        }
        Labels labels;
        for (std::size_t i = 0; i < N; ++i) {
            labels.emplace(labels_[i], values[i]);
        }
        return *series_.emplace(key_, &family_.Add(labels, args...)).first->second;
    }

private:
    template <class... Args>
    T& make(const char* value, const Args&... args)
    {
        if (rest_ == nullptr) {
            Labels labels;
            for (const char* name : labels_) {
                labels.emplace(name, value);
            }
            rest_ = &family_.Add(labels, args...);
        }
        return *rest_;
    }
    prometheus::Family<T>& family_;
    std::array<const char*, N> labels_;
    std::size_t limit_;
    std::string key_;
    std::unordered_map<std::string, T*> series_;
    T* rest_{nullptr};
};

/// The series that requests alike in their labels count in: found once, since finding each of them for each request
/// took longer than counting. One that has nothing to count yet is not made; those that are made stay.
struct Feed {
    Counter* requests{nullptr};
    Counter* ends{nullptr};
    Histogram* duration{nullptr};
    Histogram* queue{nullptr};
    Histogram* ttft{nullptr};
    Histogram* rate{nullptr};
    Counter* prompt_tokens{nullptr};
    Counter* cached_tokens{nullptr};
    Counter* output_tokens{nullptr};
};

/// Of such a series, which `series` has under `values`.
template <class T, std::size_t N, class... Args>
T& fed(T*& place, Series<T, N>& series, const typename Series<T, N>::Values& values, const Args&... args)
{
    if (place == nullptr) {
        place = &series.of(values, args...);
    }
    return *place;
}

prometheus::Family<Counter>& counter(prometheus::Registry& registry, const char* name, const char* help)
{
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

prometheus::Family<Histogram>& histogram(prometheus::Registry& registry, const char* name, const char* help)
{
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

/// One for each name that may be a label, so that a queue that is empty is seen to be empty.
prometheus::MetricFamily queue_family(const std::unordered_map<std::string, std::string>& names, const fleet::Snapshot& snapshot)
{
    std::map<std::string, double> waiting{{"other", 0}};
    for (const auto& [name, label] : names) {
        waiting[label] = 0;
    }
    for (const auto& [key, queue] : snapshot.queues) {
        const auto known = names.find(queue.model);
        waiting[known == names.end() ? "other" : known->second] += queue.waiting;
    }
    GaugeFamily family{"herd_requests_queued", "Requests waiting for a place."};
    for (const auto& [label, count] : waiting) {
        family.add(count, {{"model", label}});
    }
    return family.take();
}

} // namespace

struct Metrics::State {
    explicit State(const MetricsLimits& most) : limits(most), models(most.models), nodes(most.nodes) {}

    MetricsLimits limits;
    prometheus::Registry registry{};
    Names models;
    Names nodes;
    std::size_t most{limits.series_per_family};
    Series<Counter, 4> requests{counter(registry, "herd_requests_total", "Requests that ended, by status code."),
                                {"api", "model", "node", "code"}, most};
    Series<Counter, 1> ends{counter(registry, "herd_request_terminations_total",
                                    "Requests by who ended them and in which phase: the two letters of the access log."),
                            {"end"}, 64};
    Series<Histogram, 2> duration{histogram(registry, "herd_request_duration_seconds", "From the head of the request to the end of the answer."),
                                  {"api", "model"}, most / 8};
    Series<Histogram, 2> ttft{histogram(registry, "herd_ttft_seconds", "From the head of the request to the first byte of a good answer."),
                              {"model", "node"}, most / 8};
    Series<Histogram, 1> queue{histogram(registry, "herd_queue_seconds", "Time in herd's queue."), {"model"}, most / 8};
    Series<Histogram, 2> rate{histogram(registry, "herd_output_tokens_per_second", "Speed of decoding."), {"model", "node"}, most / 8};
    Series<Counter, 3> tokens{counter(registry, "herd_tokens_total", "Tokens: prompt, cached (believed, of the prompt) and output."),
                              {"kind", "model", "node"}, most};
    Series<Counter, 2> failures{counter(registry, "herd_attempts_failed_total", "Attempts at a node that did not serve."), {"node", "outcome"}, most};
    Series<Counter, 2> loads{counter(registry, "herd_model_loads_total", "Requests that waited for a load."),
                             {"node", "model"}, most};
    Series<Histogram, 1> load_time{histogram(registry, "herd_model_load_seconds", "Those loads."), {"node"}, most / 8};
    Series<Counter, 1> bytes{counter(registry, "herd_bytes_total", "Body bytes from (in) and to (out) clients."), {"direction"}, 2};
    Counter* bytes_in{nullptr};
    Counter* bytes_out{nullptr};
    Counter& retries = counter(registry, "herd_retries_total", "Further attempts after the first.").Add({});
    Counter& failovers = counter(registry, "herd_failovers_total", "Requests that another node than the first answered.").Add({});
    Counter& fallbacks = counter(registry, "herd_fallbacks_total", "Requests that another model than the one asked for answered.").Add({});

    std::map<int, std::uint64_t> unrecorded{}; ///< by status, as far as they are in `requests`
    std::unordered_map<std::string, Feed> feeds{}; ///< by all labels together
    std::string key{};

    void count(const store::RequestRecord& record);
    Feed& feed_of(const store::RequestRecord& record, const std::string& model, const std::string& node);
    void count_speed(Feed& feed, const store::RequestRecord& record, const std::string& model, const std::string& node);
    void count_attempts(const store::RequestRecord& record);
};

Metrics::Metrics(MetricsLimits limits) : state_(std::make_unique<State>(limits)) {}

Metrics::~Metrics() = default;

void Metrics::count(const store::RequestRecord& record) { state_->count(record); }

void Metrics::count_unrecorded(const std::vector<Unrecorded>& all)
{
    for (const auto& [status, count] : all) {
        std::uint64_t& known = state_->unrecorded[status];
        if (count > known) { // two who ask at once may be served in another order
            state_->requests.of({"admin", "", "", std::to_string(status)}).Increment(static_cast<double>(count - known));
            known = count;
        }
    }
}

Feed& Metrics::State::feed_of(const store::RequestRecord& record, const std::string& model, const std::string& node)
{
    key.clear();
    for (const std::string* const value : {&record.api, &model, &node, &record.termination}) {
        key.append(*value).push_back('\0');
    }
    key.append(reinterpret_cast<const char*>(&record.status), sizeof record.status);
    if (const auto known = feeds.find(key); known != feeds.end()) {
        return known->second;
    }
    if (feeds.size() >= most) {
        feeds.clear();
    }
    return feeds[key];
}

void Metrics::State::count(const store::RequestRecord& record)
{
    static const std::string none;
    // A name becomes a label once a node answered to it: clients can ask for anything.
    const bool one = !record.node.empty() && !record.on_several();
    const bool served = one && record.status < 400;
    const std::string& model = served || models.knows(record.model) ? models.of(record.model) : none;
    const std::string& node = one ? nodes.of(record.node) : none;
    Feed& feed = feed_of(record, model, node);
    if (feed.requests == nullptr) {
        feed.requests = &requests.of({record.api, model, node, std::to_string(record.status)});
    }
    feed.requests->Increment();
    fed(feed.ends, ends, {record.termination}).Increment();
    fed(feed.duration, duration, {record.api, model}, seconds_buckets).Observe(base::seconds(record.total));
    fed(bytes_in, bytes, {"in"}).Increment(static_cast<double>(record.bytes_in));
    fed(bytes_out, bytes, {"out"}).Increment(static_cast<double>(record.bytes_out));
    count_attempts(record);
    if (!record.node.empty() || record.queue > base::Duration{}) { // also who waited in vain
        fed(feed.queue, queue, {model}, seconds_buckets).Observe(base::seconds(record.queue));
    }
    if (served) {
        count_speed(feed, record, model, node);
    }
}

void Metrics::State::count_speed(Feed& feed, const store::RequestRecord& record, const std::string& model, const std::string& node)
{
    fed(feed.ttft, ttft, {model, node}, seconds_buckets).Observe(base::seconds(record.ttft));
    if (record.tokens_per_s) {
        fed(feed.rate, rate, {model, node}, rate_buckets).Observe(*record.tokens_per_s);
    }
    const auto add = [&](Counter*& place, std::string_view kind, const std::optional<std::int64_t>& count) {
        if (count) {
            fed(place, tokens, {kind, model, node}).Increment(static_cast<double>(*count));
        }
    };
    add(feed.prompt_tokens, "prompt", record.prompt_tokens);
    add(feed.cached_tokens, "cached", record.cached_tokens);
    add(feed.output_tokens, "output", record.output_tokens);
    if (record.load && *record.load >= real_load) {
        loads.of({node, model}).Increment();
        load_time.of({node}, seconds_buckets).Observe(base::seconds(*record.load));
    }
    if (record.fallback) {
        fallbacks.Increment();
    }
}

void Metrics::State::count_attempts(const store::RequestRecord& record)
{
    for (const store::RecordedAttempt& attempt : record.attempts) {
        if (attempt.outcome != "served" && attempt.outcome != "cancelled") {
            failures.of({nodes.of(attempt.node), attempt.outcome}).Increment();
        }
    }
    if (const std::size_t tries = record.tries(); tries > 1) {
        retries.Increment(static_cast<double>(tries - 1));
        if (record.attempts.back().outcome == "served" && record.attempts.front().node != record.attempts.back().node) {
            failovers.Increment();
        }
    }
}

std::string Metrics::text(const fleet::Snapshot& snapshot, const MetricsScene& scene) const
{
    std::vector<prometheus::MetricFamily> families = state_->registry.Collect();
    std::erase_if(families, [](const prometheus::MetricFamily& family) { return family.metric.empty(); });
    families.push_back(queue_family(state_->models.all(), snapshot));
    append_gauges(families, snapshot, scene, state_->limits.nodes);
    return prometheus::TextSerializer{}.Serialize(families);
}

} // namespace herd::app
