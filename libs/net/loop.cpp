#include "net/loop.hpp"

#include "net/poller.hpp"
#include "net/timer.hpp"
#include "net/virtual_clock.hpp"

#include <algorithm>
#include <ctime>

#include <asio/dispatch.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>

namespace herd::net {

namespace {
constexpr base::Duration sweep_interval = std::chrono::milliseconds{100};
constexpr base::Duration sweep_interval_max = std::chrono::seconds{1}; // while any deadline is set: measures lateness
thread_local VirtualTime* virtual_time = nullptr; // NOLINT: the seam itself, set by VirtualTime alone

/// Some milliseconds late at most, and several times cheaper to ask: good enough for what the sweep looks at.
base::Instant rough_now()
{
    if (virtual_time != nullptr) {
        return virtual_time->now();
    }
    ::timespec time{};
    (void)::clock_gettime(CLOCK_MONOTONIC_COARSE, &time); // the clock of std::chrono::steady_clock, as of the last tick
    return base::Instant(std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec});
}

} // namespace

base::Instant LoopClock::now() { return virtual_time != nullptr ? virtual_time->now() : std::chrono::steady_clock::now(); }
bool LoopClock::is_virtual() { return virtual_time != nullptr; }

::asio::ip::address to_asio(const base::IpAddress& address)
{
    if (address.is_v4()) {
        ::asio::ip::address_v4::bytes_type bytes{};
        std::copy_n(address.bytes().begin(), 4, bytes.begin());
        return ::asio::ip::address_v4{bytes};
    }
    ::asio::ip::address_v6::bytes_type bytes{};
    std::copy_n(address.bytes().begin(), 16, bytes.begin());
    return ::asio::ip::address_v6{bytes, address.scope()};
}

base::IpAddress from_asio(const ::asio::ip::address& address)
{
    if (address.is_v4()) {
        const auto bytes = address.to_v4().to_bytes();
        return base::IpAddress::v4({bytes[0], bytes[1], bytes[2], bytes[3]});
    }
    std::array<std::uint8_t, 16> bytes{};
    std::ranges::copy(address.to_v6().to_bytes(), bytes.begin());
    return base::IpAddress::v6(bytes, static_cast<std::uint32_t>(address.to_v6().scope_id()));
}

/// The list of deadlines and the one timer that walks it.
struct Loop::Sweep {
    explicit Sweep(Loop& owner) : loop(owner), timer(std::in_place, owner) {}

    /// Makes sure that the sweep runs soon after `when`. Nothing to do while an earlier one is coming, which
    /// is the usual case: deadlines are mostly moved away.
    void want(base::Instant when, base::Instant now)
    {
        if (armed && when >= due) {
            return;
        }
        const auto soonest = now + sweep_interval;
        if ((armed && due <= soonest) || !timer) {
            return;
        }
        armed = true;
        due = std::max(when, soonest);
        if (!LoopClock::is_virtual()) {
            due = std::min(due, now + sweep_interval_max);
        }
        timer->call_at(due, [this] { run(); });
    }

    void run()
    {
        armed = false;
        const auto now = loop.now();
        lateness = std::max(lateness, now - due);
        std::optional<base::Instant> earliest;
        // A callback may destroy any Deadline, its own included: `cursor` is moved by unlink().
        for (cursor = head; cursor != nullptr;) {
            Deadline* entry = cursor;
            cursor = entry->next_;
            if (!entry->when_) {
                continue;
            }
            if (*entry->when_ <= now) {
                entry->when_.reset();
                entry->expired_ = true;
                entry->on_expiry_();
            } else if (!earliest || *entry->when_ < *earliest) {
                earliest = entry->when_;
            }
        }
        if (earliest) {
            want(*earliest, now);
        }
    }

    void link(Deadline& entry)
    {
        entry.next_ = head;
        if (head != nullptr) {
            head->previous_ = &entry;
        }
        head = &entry;
    }

    void unlink(Deadline& entry)
    {
        if (cursor == &entry) {
            cursor = entry.next_;
        }
        (entry.previous_ != nullptr ? entry.previous_->next_ : head) = entry.next_;
        if (entry.next_ != nullptr) {
            entry.next_->previous_ = entry.previous_;
        }
    }

    Loop& loop;
    std::optional<Timer> timer;
    Deadline* head{nullptr};
    Deadline* cursor{nullptr};
    base::Instant due{};
    base::Duration lateness{};
    bool armed{false};
};

Loop::Loop() { sweep_ = std::make_unique<Sweep>(*this); }

Loop::~Loop()
{
    // Now the context destroys the tasks that still wait, and their deadlines leave the sweep's list.
    ended_ = true;
    sweep_->timer.reset();
    if (poller_) {
        poller_->stop();
    }
}

Poller& Loop::poller()
{
    if (!poller_) {
        poller_ = std::make_unique<Poller>(*this);
    }
    return *poller_;
}

base::Instant Loop::now() const { return LoopClock::now(); }

base::WallTime Loop::wall() const
{
    return virtual_time != nullptr ? virtual_time->clock().wall() : base::SystemClock{}.wall();
}

void Loop::post(Callback work)
{
    if (!ended_) {
        ::asio::post(context_, std::move(work));
    }
}

void Loop::dispatch(Callback work) { ::asio::dispatch(context_, std::move(work)); }

Task<void> Loop::turn() { return ::asio::post(context_, use_task); }

void Loop::run()
{
    const auto guard = ::asio::make_work_guard(context_);
    context_.run();
}

void Loop::stop() { context_.stop(); }

base::Duration Loop::take_lateness() { return std::exchange(sweep_->lateness, base::Duration{}); }

Deadline::Deadline(Loop& loop, Callback on_expiry) : loop_(loop), on_expiry_(std::move(on_expiry))
{
    loop_.sweep_->link(*this);
}

Deadline::~Deadline() { loop_.sweep_->unlink(*this); }

void Deadline::set(base::Instant when)
{
    when_ = when;
    expired_ = false;
    if (!loop_.sweep_->armed || when < loop_.sweep_->due) {
        loop_.sweep_->want(when, loop_.now());
    }
}

void Deadline::set_after(base::Duration delay)
{
    const auto now = rough_now();
    when_ = now + delay;
    expired_ = false;
    loop_.sweep_->want(*when_, now);
}

VirtualTime::VirtualTime()
{
    HERD_ASSERT(virtual_time == nullptr);
    virtual_time = this;
}

VirtualTime::~VirtualTime() { virtual_time = nullptr; }

bool VirtualTime::run_until(Loop& loop, base::Instant until)
{
    auto& context = loop.context();
    for (;;) {
        context.restart();
        while (context.poll() > 0) {
        }
        const auto next = LoopClock::next_expiry();
        if (!next || *next > until) {
            clock_.set(std::max(clock_.now(), until));
            context.restart();
            const bool ran = context.poll() > 0;
            return ran || next.has_value();
        }
        clock_.set(std::max(clock_.now(), *next));
    }
}

} // namespace herd::net
