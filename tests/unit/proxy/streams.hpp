#pragma once
// A chat that is streamed, in its pieces.
#include "world.hpp"

namespace herd::proxy::testing {

inline const std::string line = R"({"model":"m","message":{"role":"assistant","content":"hi"},"done":false})" "\n";
inline const std::string done =
    R"({"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":500,"load_duration":100,"prompt_eval_count":3,"prompt_eval_duration":7,"eval_count":2,"eval_duration":9})"
    "\n";
inline const std::string chat = R"({"model":"m","messages":[{"role":"user","content":"x"}]})";

inline Script stream() { return {opening(), chunk(line), chunk(done), end_of_chunks()}; }

} // namespace herd::proxy::testing
