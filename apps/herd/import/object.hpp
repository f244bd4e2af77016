#pragma once
// A row of OllamaFlow's database as the object it stands for, its fields called as in its documentation. Pure.
// Source: reference/parity.md 3.2.
#include "herd/admin/ollamaflow.hpp"
#include "herd/import/draft.hpp"

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace herd::app::import {

/// What stands in which column, as text; without those that are NULL.
using Row = std::map<std::string, std::string>;

struct Object {
    admin::ollamaflow::Kind kind{};
    std::string id{};                  ///< its Identifier, as it was
    std::string created{};             ///< the later, the greater
    Json fields = Json::object();      ///< without those that say what herd does anyway
    Json ours = Json::object();        ///< what theirs has no field for, in herd's words
    std::vector<std::string> notes{};  ///< "Field value: what was done"

    [[nodiscard]] std::string called() const; ///< "backend "one""
    void note(std::string_view field, std::string_view what);
    /// Null when it is not there.
    [[nodiscard]] Json get(const std::string& field) const { return fields.value(field, Json()); }
    [[nodiscard]] bool yes(const std::string& field) const { return fields.value(field, true); }
    [[nodiscard]] std::string text(const std::string& field) const;
    /// A number into what herd takes, with a note when it was not.
    void clamp(const std::string& field, std::uint64_t low, std::uint64_t high);
};

[[nodiscard]] Object object_of(admin::ollamaflow::Kind kind, const Row& row);
[[nodiscard]] bool is_secret(std::string_view field);

/// `draft` with all of it in herd's words, `first` the key that goes before the others. Errors: bad_config.
[[nodiscard]] base::Result<Draft> draft_of(const Object& object, std::string header, std::string_view first);

/// Hands out each name once, regardless of case.
class Names {
public:
    /// `wanted`, with a number behind it when somebody has it. At most `bytes` long, a whole number of characters.
    [[nodiscard]] std::string free(std::string wanted, std::size_t bytes);
    [[nodiscard]] bool take(std::string_view name);

private:
    std::set<std::string> taken_{};
};

} // namespace herd::app::import
