#pragma once
// The figures of lana.md 6, named once.
#include "base/time.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace herd::fleet::timing {

using namespace std::chrono_literals; // NOLINT(google-global-names-in-headers): durations read as what they are

inline constexpr base::Duration probe_window{400ms};       ///< 5 probes over 320 ms and a connect of 300 ms
inline constexpr std::array<base::Duration, 2> hedges{120ms, 200ms}; ///< a lost SYN costs a second otherwise
inline constexpr base::Duration answer_limit{5s};          ///< an asked-for answer that never came has failed
inline constexpr base::Duration udp_silence_max{30s};      ///< TCP alone keeps a node for this long
inline constexpr base::Duration http_poll{1s};             ///< while it does
inline constexpr int polls_open_max{2};                    ///< unanswered in a row: it is as good as silent
inline constexpr base::Duration gone_min{10s};             ///< suspect to gone: 10 intervals, at least this
inline constexpr base::Duration forget_after{std::chrono::hours{24}};
inline constexpr base::Duration flap_window{60s};
inline constexpr base::Duration doubt_spacing{100ms};      ///< doubtful datagrams cause no more questions than this
inline constexpr base::Duration load_spacing{500ms};       ///< between two snapshots wanted for load alone
inline constexpr base::Duration move_cooldown{10s};
inline constexpr base::Duration twin_window{10s};          ///< a twin that is not heard for so long is one no more
inline constexpr base::Duration static_poll{1s};
inline constexpr base::Duration static_full_busy{2s};
inline constexpr base::Duration static_full_idle{10s};
inline constexpr base::Duration static_busy_for{60s};
inline constexpr base::Duration cloud_poll{60s};
inline constexpr base::Duration cloud_retry{10s};
inline constexpr int saved_tries_max{3};                   ///< then a saved node is no longer waited for

inline constexpr std::array<base::Duration, 7> confirm_retry{100ms, 300ms, 1s, 3s, 10s, 30s, 60s};
inline constexpr std::array<base::Duration, 5> probe_retry{300ms, 500ms, 1s, 2s, 3s};
/// At once first: a process that is being killed may still accept one connection, the probe's, after its canary ended.
inline constexpr std::array<base::Duration, 7> watch_retry{50ms, 1s, 2s, 4s, 8s, 16s, 30s};

/// The `failures`-th wait (1 first), the last one for ever.
template <std::size_t N>
[[nodiscard]] constexpr base::Duration retry_in(const std::array<base::Duration, N>& steps, int failures)
{
    return steps[std::min<std::size_t>(static_cast<std::size_t>(std::max(failures, 1)) - 1, N - 1)];
}

} // namespace herd::fleet::timing
