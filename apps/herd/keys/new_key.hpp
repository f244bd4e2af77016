#pragma once
// What POST /herd/v1/keys asks for, the secret that is made for it, and how keys are shown. Pure but for the randomness
// of a secret.
#include "base/error.hpp"
#include "base/time.hpp"
#include "proxy/access.hpp"
#include "proxy/aliases.hpp"
#include "store/key_store.hpp"

#include <string>
#include <string_view>

namespace herd::app::keys {

/// Checks the body and makes a record of it, without id, hash and hint. Errors: bad_config, one sentence that names
/// the field.
[[nodiscard]] base::Result<store::KeyRecord> parse_new_key(std::string_view json, base::WallTime now);

/// What is wrong with the models of such a body where one of them is an alias: a key opens the model that runs, so that one for an
/// alias alone would open nothing. Empty: nothing, also when the model behind it is named too.
[[nodiscard]] std::string alias_fault(std::string_view json, const proxy::Aliases* aliases, const fleet::Snapshot& snapshot);

/// 160 random bits behind a prefix that secret scanners can look for: "herd_" and 40 hexadecimal digits.
[[nodiscard]] std::string make_secret();
/// Gives the record its id, and what is kept of the secret: hash and hint.
void seal(store::KeyRecord& record, std::string_view secret);

/// As the gate needs it. `use`: what was counted so far; never null.
[[nodiscard]] proxy::KeyPtr to_key(const store::KeyRecord& record, std::shared_ptr<proxy::KeyUse> use);

/// {"id","name","scope","key":"herd_1a2b…9f0e","state":"active|expired|revoked","models",…}: everything but the secret.
[[nodiscard]] std::string key_json(const store::KeyRecord& record, const proxy::KeyUse& use, base::WallTime now);
/// The same with "secret": the one answer that has it.
[[nodiscard]] std::string made_json(const store::KeyRecord& record, const proxy::KeyUse& use, base::WallTime now, std::string_view secret);

} // namespace herd::app::keys
