#pragma once
// A whole terminal for one verb: the alternate screen, keys as they are pressed, and drawing that touches only the
// lines that changed, so that nothing flickers. Leaving gives the terminal back as it was, after a signal too.
#include "base/time.hpp"

#include <string>
#include <vector>

#include <termios.h>

namespace herd::app {

enum class Key : unsigned char { none, quit, up, down, page_up, page_down, home, end, pause, resized };

/// Of the terminal that is standard output; 0: it is none.
[[nodiscard]] std::size_t output_columns();

/// Thread: one owner, one at a time in a process (it has the signals).
class Screen {
public:
    Screen();
    Screen(const Screen&) = delete;
    Screen& operator=(const Screen&) = delete;
    ~Screen();

    struct Size {
        int columns{80};
        int lines{24};
    };
    [[nodiscard]] Size size() const;
    /// Draws `lines` from the top; those that are as they were stay untouched, what is below is cleared. A line holds
    /// no more columns than the screen, escape sequences aside.
    void draw(const std::vector<std::string>& lines);
    /// The next key, or none after `patience`. Key::quit also for SIGTERM, SIGHUP and the end of input.
    [[nodiscard]] Key wait(base::Duration patience);

private:
    [[nodiscard]] Key read_key();

    ::termios before_{};
    bool raw_{false};
    Size drawn_size_{0, 0};
    std::vector<std::string> drawn_;
};

} // namespace herd::app
