#pragma once
// The canonical prompt of a request, as a chain of hashes: tools, system, then messages in order, in blocks. Two
// requests whose prompts begin alike have chains that begin alike, whatever their JSON looks like and whichever
// API they speak: escapes, white space, the order of members, content as text or as parts make no difference.
// What a node has in its prompt cache is believed in these terms (design/scheduling.md 3).
//
// Members are read where they stand in the body, in one pass; only at the end are the blocks put in the order in
// which a model reads them. Text is gathered in a buffer of one block; nothing else is copied.
#include "fleet/profile.hpp"
#include "proxy/json_reader.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace herd::proxy {

/// Thread: any.
class PromptReader {
public:
    // Each steps over the value that comes next in `json`; a member that stands twice counts once, the last.
    void tools(JsonReader& json);
    void instructions(JsonReader& json); ///< the system prompt
    void messages(JsonReader& json); ///< objects with role and content
    void prompt(JsonReader& json);
    void input(JsonReader& json);    ///< text, a list of texts, or messages
    void suffix(JsonReader& json);
    void images(JsonReader& json);   ///< beside a prompt

    /// Text found so far, in bytes as the model gets them; images aside.
    [[nodiscard]] std::size_t bytes() const;
    [[nodiscard]] int images() const;
    /// At most `blocks_max` blocks of 512 bytes to 2 KiB (the last one has the rest). Null without text. Once, at the end.
    [[nodiscard]] fleet::PromptChain chain();

    static constexpr std::size_t blocks_max = 2048;

private:
    static constexpr std::size_t block_bytes = 512;
    static constexpr std::size_t long_block_bytes = 2048; ///< in the second half of a section's blocks
    enum Kind : std::uint8_t { of_tools, of_system, of_images, of_prompt, of_messages, of_input, of_suffix, kinds };
    struct Section {
        std::size_t begin{0};
        std::size_t end{0};
        std::size_t bytes{0};
        int images{0};
    };
    class MessageVisitor;
    class ToolVisitor;

    void open(Kind kind);
    void close(std::string_view role);
    void take_messages(JsonReader& json, Kind kind, std::string_view role);
    /// The inside of a JSON string; its meaning becomes text.
    void text(std::string_view written);
    const char* copy_plain(const char* at, const char* end);
    void put(std::string_view run);
    void image(std::string_view data);
    void note(std::string_view what);
    /// The end of a message: its text and role stand in one block together, and nothing of the next does.
    void cut(std::string_view role);
    void flush();
    [[nodiscard]] std::size_t room() const;
    void put_in_order();

    std::vector<fleet::PromptBlock> blocks_{}; ///< chain: of the block alone, so far
    std::array<Section, kinds> sections_{};
    Section* section_{nullptr};
    std::uint64_t salt_{0};                    ///< of what is no text: roles, images
    std::size_t filled_{0};
    std::size_t limit_{0};                     ///< of the block being filled; 0: no more blocks in this section
    std::array<char, long_block_bytes> buffer_; // not initialised: written before it is read
};

} // namespace herd::proxy
