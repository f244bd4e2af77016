#pragma once
// Misbehaviour on demand: POST /sim/faults adds one, DELETE /sim/faults ends all.
//
//   {"kind":"status","status":500,"error":"llama runner process has terminated: exit status 2","count":1}
//   {"kind":"reset"}                     the connection breaks before the first byte
//   {"kind":"hang"}                      no answer until the client leaves
//   {"kind":"die","after":3}             the connection breaks after 3 tokens
//   {"kind":"error","after":3,"error":"boom"}  the in-band error of that API after 3 tokens
//   {"kind":"truncate","after":3}        a clean end without the final chunk after 3 tokens
//   {"kind":"stall","after":3}           silence after 3 tokens, until the client leaves
//   {"kind":"slow","factor":10}          everything takes that much longer
// "count" (default: for ever) and "path" (a prefix, default every inference path) narrow it.
#include "base/error.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::sim {

struct Fault {
    std::string kind{};
    std::string path{};
    std::string error{"boom"};
    int status{500};
    int after{0};
    double factor{1};
    std::int64_t count{-1}; ///< -1: for ever
};

class Faults {
public:
    /// Errors: bad_config.
    [[nodiscard]] base::Result<void> add(std::string_view json);
    void clear() { faults_.clear(); }
    /// The first fault for this path; one use of it is spent.
    [[nodiscard]] std::optional<Fault> take(std::string_view path);
    [[nodiscard]] const std::vector<Fault>& all() const { return faults_; }

private:
    std::vector<Fault> faults_;
};

} // namespace herd::sim
