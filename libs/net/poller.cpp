#include "net/poller.hpp"

#include "base/assert.hpp"

#include <algorithm>

namespace herd::net {

namespace {

constexpr std::uint32_t readable_events = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t writable_events = EPOLLOUT | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t ended_events = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

Task<bool> at_once(bool ready) { co_return ready; }

} // namespace

Readiness::Readiness(Loop& loop, Fd fd, bool connecting) : loop_(loop), fd_(std::move(fd)), reading_(loop)
{
    if (connecting) {
        exhausted(Side::writing);
    }
    if (fd_.valid() && !loop_.poller().add(*this)) {
        fd_.reset();
    }
}

Readiness::Direction& Readiness::at(Side side)
{
    if (side == Side::reading) {
        return reading_;
    }
    if (!writing_) {
        writing_ = std::make_unique<Direction>(loop_);
        writing_->ready = true; // as far as anybody knows
    }
    return *writing_;
}

Task<bool> Readiness::wait(Side side)
{
    Direction& direction = at(side);
    HERD_ASSERT(!direction.task.waiting());
    if (direction.ready || !is_open()) {
        return at_once(is_open());
    }
    return direction.task.wait();
}

void Readiness::watch(Side side, Callback work)
{
    if (is_open()) {
        Direction& direction = at(side);
        direction.watch = std::move(work);
        if (direction.ready) {
            loop_.poller().tell_again(*this);
        }
    }
}

void Readiness::unwatch(Side side)
{
    if (side == Side::reading) {
        reading_.watch = nullptr;
    } else if (writing_ && !writing_->task.waiting()) {
        writing_.reset(); // until a write finds no room, what the kernel says of it matters to nobody
    } else if (writing_) {
        writing_->watch = nullptr;
    }
}

void Readiness::exhausted(Side side)
{
    // An end is told once, maybe with the last bytes: who reads those has to come back for it.
    if (side == Side::writing || !ended_) {
        at(side).ready = false;
    }
}

void Readiness::close() noexcept
{
    if (!is_open()) {
        return;
    }
    loop_.poller().remove(*this);
    fd_.reset();
    reading_.watch = nullptr;
    reading_.task.wake_later(false);
    if (writing_) {
        writing_->watch = nullptr;
        writing_->task.wake_later(false);
    }
}

void Readiness::changed(Side side)
{
    if (side == Side::reading || writing_) {
        Direction& direction = at(side);
        direction.ready = true;
        fire(direction);
    }
}

void Readiness::fire(Direction& direction)
{
    auto once = std::exchange(direction.watch, nullptr);
    if (direction.task.waiting()) {
        // Both at once is rare; the task is resumed later so that it may end this object.
        once ? direction.task.wake_later(true) : direction.task.wake(true);
    }
    if (once) {
        once();
    }
}

void Readiness::fire_watch(Side side)
{
    if (side == Side::reading || writing_) {
        Direction& direction = at(side);
        if (auto once = direction.ready ? std::exchange(direction.watch, nullptr) : Callback{}) {
            once();
        }
    }
}

Poller::Poller(Loop& loop) : loop_(loop), epoll_(::epoll_create1(EPOLL_CLOEXEC))
{
    HERD_ASSERT(epoll_.valid());
    in_asio_.emplace(loop.context(), epoll_.get());
    arm();
}

void Poller::stop()
{
    (void)in_asio_->release();
    in_asio_.reset();
}

bool Poller::add(Readiness& one)
{
    ::epoll_event wanted{};
    wanted.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    wanted.data.ptr = &one;
    return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, one.fd(), &wanted) == 0;
}

void Poller::remove(Readiness& one) noexcept
{
    // Closing alone would not do where a child process shares the socket for a moment.
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, one.fd(), nullptr);
    for (int i = 0; i < batch_size_; ++i) {
        auto& event = batch_[static_cast<std::size_t>(i)];
        if (event.data.ptr == &one) { // NOLINT(cppcoreguidelines-pro-type-union-access): the kernel's
            event.data.ptr = nullptr;
        }
    }
    std::ranges::replace(again_, &one, nullptr);
}

void Poller::tell_again(Readiness& one)
{
    if (again_.empty()) {
        loop_.post([this] { take_again(); });
    }
    again_.push_back(&one);
}

void Poller::arm()
{
    in_asio_->async_wait(::asio::posix::descriptor_base::wait_read, [this](std::error_code error) {
        if (!error) {
            take();
            if (in_asio_) {
                arm();
            }
        }
    });
}

void Poller::take()
{
    batch_size_ = std::max(::epoll_wait(epoll_.get(), batch_.data(), static_cast<int>(batch_.size()), 0), 0);
    for (int i = 0; i < batch_size_; ++i) {
        const ::epoll_event& event = batch_[static_cast<std::size_t>(i)];
        const auto told = [&event]() { return static_cast<Readiness*>(event.data.ptr); }; // null once it is removed
        if (told() != nullptr && (event.events & ended_events) != 0) {
            told()->ended_ = true;
        }
        if (told() != nullptr && (event.events & readable_events) != 0) {
            told()->changed(Readiness::Side::reading);
        }
        if (told() != nullptr && (event.events & writable_events) != 0) {
            told()->changed(Readiness::Side::writing);
        }
    }
    batch_size_ = 0;
}

void Poller::take_again()
{
    const std::size_t now = again_.size();
    for (std::size_t i = 0; i < now; ++i) {
        for (const auto side : {Readiness::Side::reading, Readiness::Side::writing}) {
            if (again_[i] != nullptr) {
                again_[i]->fire_watch(side);
            }
        }
    }
    again_.erase(again_.begin(), again_.begin() + static_cast<std::ptrdiff_t>(now));
    if (!again_.empty()) {
        loop_.post([this] { take_again(); });
    }
}

} // namespace herd::net
