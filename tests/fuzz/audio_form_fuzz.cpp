// Multipart bodies of recordings (the first line is the Content-Type), and what speech tools print: read without harm.
#include "herd-node/media/audio_form.hpp"
#include "herd-node/media/transcript.hpp"

#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace herd::node;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto end = text.find('\n');
    const auto body = end == text.npos ? std::string_view{} : text.substr(end + 1);
    if (const auto form = parse_audio_form(body, text.substr(0, end))) {
        const bool inside = !form->has_audio || form->audio.empty()
            || (form->audio.data() >= body.data() && form->audio.data() + form->audio.size() <= body.data() + body.size());
        if (!inside || form->extension.size() > 8 || form->extension.find_first_of("./") != std::string::npos || form->language.starts_with("--o")) {
            std::abort();
        }
    }
    if (const auto transcript = parse_transcript(text)) {
        (void)transcript_answer(*transcript);
        (void)openai_answer(*transcript, true);
    }
    (void)job_state_of(text);
    return job_of(text).find('/') == std::string::npos ? 0 : (std::abort(), 0);
}
