#pragma once
// What a node says while it pulls: lines of JSON, in any pieces. An error in the stream is a failure, though its status
// was 200. No I/O.
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace herd::app::sync {

/// Thread: one owner.
class PullStream {
public:
    /// False: this is no progress of a pull, stop reading.
    [[nodiscard]] bool feed(std::string_view bytes);
    /// After the last byte: why it failed; empty when it went well.
    [[nodiscard]] std::string failure();
    /// 0 to 100, of the bytes that are known to come.
    [[nodiscard]] int percent() const;

private:
    void line(std::string_view text);

    struct Layer {
        double total{0};
        double completed{0};
    };
    std::map<std::string, Layer, std::less<>> layers_; ///< by digest
    std::string rest_;
    std::string error_;
    bool succeeded_{false};
};

} // namespace herd::app::sync
