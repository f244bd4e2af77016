#include "http/internal/date.hpp"

#include <array>
#include <chrono>
#include <string>

namespace herd::http::internal {

namespace {

struct Cached {
    std::chrono::sys_seconds when{std::chrono::seconds{-1}};
    std::string line{};
};
thread_local Cached cached; // NOLINT: a cache, one per loop

void two_digits(std::string& out, unsigned number)
{
    out += static_cast<char>('0' + number / 10 % 10);
    out += static_cast<char>('0' + number % 10);
}

std::string format(std::chrono::sys_seconds now)
{
    using namespace std::chrono;
    constexpr std::array<std::string_view, 7> days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const auto day = floor<std::chrono::days>(now);
    const year_month_day date{day};
    const hh_mm_ss time{now - day};
    std::string out = "Date: ";
    out.append(days[weekday{day}.c_encoding()]).append(", ");
    two_digits(out, static_cast<unsigned>(date.day()));
    out.append(" ").append(months[static_cast<unsigned>(date.month()) - 1]).append(" ");
    out.append(std::to_string(static_cast<int>(date.year()))).append(" ");
    two_digits(out, static_cast<unsigned>(time.hours().count()));
    out += ':';
    two_digits(out, static_cast<unsigned>(time.minutes().count()));
    out += ':';
    two_digits(out, static_cast<unsigned>(time.seconds().count()));
    out.append(" GMT\r\n");
    return out;
}

} // namespace

std::string_view date_line(base::WallTime now)
{
    const auto second = std::chrono::floor<std::chrono::seconds>(now);
    if (second != cached.when) {
        cached = {second, format(second)};
    }
    return cached.line;
}

} // namespace herd::http::internal
