// Rows of [models]: what herd may do to requests for a model, and about models that somebody asks for.
#include "herd/option_rows.hpp"

namespace herd::app {

using config::Table;

void models_rows(Table& t, HerdOptions& o)
{
    t.group("Models");
    auto& m = o.models;
    t.choice({.key = "models.num_ctx",
              .sentence = "`protect`: a `num_ctx` that is less than what the model is loaded with becomes that number, so that no "
                          "request makes a node load its model again with less context. `pass`: it goes through as it is."},
             m.rules.protect, std::vector<std::pair<std::string, bool>>{{"pass", false}, {"protect", true}});
}

} // namespace herd::app
