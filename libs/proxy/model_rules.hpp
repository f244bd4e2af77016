#pragma once
// What [models] says about the requests for models: values that herd writes into a body where its client names none, or
// names more than it may. Pure.
// Source: reference/parity.md 2.9.

namespace herd::proxy {

struct ModelRulesConfig {
    bool protect{false}; ///< a num_ctx below the loaded one becomes the loaded one
};

} // namespace herd::proxy
