#include "proxy/proxy.hpp"

#include "proxy/dialect/dialect.hpp"
#include "proxy/exchange.hpp"

#include <algorithm>
#include <deque>

namespace herd::proxy {
namespace {

/// One of the exchanges in flight, process-wide.
class Counted {
public:
    explicit Counted(std::atomic<std::uint64_t>& count) : count_(count), number_(count.fetch_add(1) + 1) {}
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    ~Counted() { count_.fetch_sub(1); }
    [[nodiscard]] std::uint64_t number() const { return number_; }

private:
    std::atomic<std::uint64_t>& count_;
    std::uint64_t number_;
};

std::shared_ptr<const Settings> make_settings(std::shared_ptr<const ProxyOptions> options)
{
    CorsPolicy cors(options->cors_origins);
    return std::make_shared<const Settings>(Settings{std::move(options), std::move(cors)});
}

std::string_view code_of(int status)
{
    switch (status) {
    case 408: return "timed_out";
    case 413:
    case 414:
    case 431: return "too_large";
    case 503: return "unavailable";
    default: return status < 500 ? "bad_request" : "internal";
    }
}

} // namespace

struct Proxy::Impl {
    Context context;
    std::shared_ptr<const Settings> settings;

    void end_revoked() const;
    /// Of those that were not ended yet.
    template <class Wanted>
    void end(std::string_view why, Wanted wanted) const;
};

template <class Wanted>
void Proxy::Impl::end(std::string_view why, Wanted wanted) const
{
    for (Visit* one = context.newest; one != nullptr;) {
        if (!one->cancelled() && wanted(*one)) {
            one->cancel(why);
            one = context.newest; // whatever that woke may have left the list
        } else {
            one = one->older();
        }
    }
}

/// What waits or runs with a key that is no longer good ends at once. A key that has expired lets it finish.
void Proxy::Impl::end_revoked() const
{
    std::vector<std::string_view> good;
    if (context.access != nullptr) {
        for (const auto& key : context.access->rules().keys) {
            if (!key->revoked) {
                good.emplace_back(key->id);
            }
        }
    }
    std::ranges::sort(good);
    end("its key was revoked", [&good](const Visit& one) {
        return one.key() != nullptr && !std::ranges::binary_search(good, std::string_view(one.key()->id));
    });
}

Proxy::Proxy(net::Loop& loop, Scheduler& scheduler, http::Pool& pool, std::shared_ptr<const ProxyOptions> options,
             std::shared_ptr<ProxyShared> shared, base::Rng rng, RecordSink sink)
    : impl_(std::make_unique<Impl>(Impl{Context{loop, scheduler, pool, std::move(shared), rng, std::move(sink)},
                                        make_settings(std::move(options))}))
{
}

Proxy::~Proxy() = default;

void Proxy::set_options(std::shared_ptr<const ProxyOptions> options)
{
    impl_->settings = make_settings(std::move(options));
}

std::shared_ptr<const ProxyOptions> Proxy::options() const { return impl_->settings->options; }

void Proxy::set_access(std::shared_ptr<const Access> access)
{
    impl_->context.access = std::move(access);
    impl_->end_revoked();
}

std::vector<InFlight> Proxy::in_flight(std::size_t max) const
{
    std::vector<InFlight> all;
    for (const Visit* one = impl_->context.newest; one != nullptr && all.size() < max; one = one->older()) {
        all.push_back(one->in_flight());
    }
    return all;
}

std::vector<InFlight> Proxy::still(base::Duration least, std::size_t max)
{
    const auto now = impl_->context.loop.now();
    std::deque<const Visit*> found;
    for (Visit* one = impl_->context.newest; one != nullptr; one = one->older()) {
        if (one->still(now) >= least) {
            found.push_front(one);
            found.resize(std::min(found.size(), max));
        }
    }
    std::vector<InFlight> all;
    for (const Visit* one : found) {
        all.push_back(one->in_flight());
    }
    return all;
}

bool Proxy::cancel(std::string_view id)
{
    for (Visit* one = impl_->context.newest; one != nullptr; one = one->older()) {
        if (one->has_id(id)) {
            one->cancel("ended by an operator");
            return true;
        }
    }
    return false;
}

void Proxy::cancel_all(std::string_view why)
{
    impl_->end(why, [](const Visit&) { return true; });
}

net::Task<void> Proxy::handle(http::ServerExchange& exchange)
{
    const Counted counted(impl_->context.shared->exchanges);
    const bool crowded = counted.number() > impl_->settings->options->exchanges_max;
    const auto visit = std::make_unique<Visit>(impl_->context, impl_->settings, exchange);
    {
        const auto search = std::make_unique<Exchange>(*visit);
        co_await (crowded ? search->turn_away() : search->answer());
    } // its memory serves others while the answer flows
    if (visit->passed()) {
        co_await exchange.loop().turn();
        if (!visit->give_at_once()) {
            exchange.forget_fields();
            visit->relayed(co_await visit->relay());
        }
    }
    visit->record();
}

http::ResponseHead error_answer(int status, std::string_view reason, std::string_view target, std::string& body)
{
    auto text = error_text(dialect_of(target), Problem{status, code_of(status), std::string(reason)});
    body = std::move(text.body);
    http::ResponseHead head;
    head.status = status;
    head.framing = http::Framing::length;
    head.content_length = body.size();
    head.fields.add("Content-Type", text.content_type);
    return head;
}

} // namespace herd::proxy
