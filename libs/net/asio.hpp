#pragma once
// The one header that names Asio and hides what differs between its versions. Only rooms that wait
// include it (net, http, discovery's sockets, proxy, apps); it costs about 1.4 s per translation unit.
//
// Task<T> is the coroutine type of the house. Operations inside net take the token `as_result`, so that
// errors arrive as values. A task is stopped by closing what it waits for, or through its TaskGroup.
#include "base/ip.hpp"

#include <asio/awaitable.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ip/udp.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/version.hpp>

#if ASIO_VERSION < 102400
#include <asio/experimental/as_tuple.hpp>
#else
#include <asio/as_tuple.hpp>
#endif

namespace herd::net {

using Executor = ::asio::io_context::executor_type;

template <class T>
using Task = ::asio::awaitable<T, Executor>;

inline constexpr ::asio::use_awaitable_t<Executor> use_task{};
#if ASIO_VERSION < 102400
inline constexpr auto as_result = ::asio::experimental::as_tuple(use_task);
#else
inline constexpr auto as_result = ::asio::as_tuple(use_task);
#endif

[[nodiscard]] ::asio::ip::address to_asio(const base::IpAddress& address);
[[nodiscard]] base::IpAddress from_asio(const ::asio::ip::address& address);

} // namespace herd::net
