#pragma once
// The option table of `herd`: one row for each thing that a person can set. options.cpp reads with it.
#include "config/table.hpp"
#include "herd/options.hpp"

#include <vector>

namespace herd::app {

/// Rows in the order of the help; they write into `options`, which outlives the table. `file_nodes` takes the [[node]]
/// tables, which --node adds to.
[[nodiscard]] config::Table herd_table(HerdOptions& options, std::vector<ConfiguredNode>& file_nodes);

// Its groups.
void serving_rows(config::Table& table, HerdOptions& options);
void scheduler_rows(config::Table& table, HerdOptions& options);
void proxy_rows(config::Table& table, HerdOptions& options);
void alias_rows(config::Table& table, HerdOptions& options);
void models_rows(config::Table& table, HerdOptions& options);
void access_rows(config::Table& table, HerdOptions& options);
void tls_rows(config::Table& table, HerdOptions& options);
void ollana_rows(config::Table& table, HerdOptions& options);
void store_rows(config::Table& table, HerdOptions& options);

} // namespace herd::app
