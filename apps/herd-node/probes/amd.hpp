#pragma once
// AMD cards as the amdgpu driver shows them in sysfs; no library needed.
#include "discovery/node_document.hpp"

#include <string>
#include <vector>

namespace herd::node {

/// Cards under `root`/sys/class/drm, in order of their number. A GPU that shares the host's memory is shown
/// with what it may use of it (VRAM carve-out plus GTT). Reading sysfs can stall with a sick driver, so
/// this belongs on a worker. Thread: any; blocks as long as the kernel does.
[[nodiscard]] std::vector<discovery::GpuFacts> read_amd(const std::string& root = "");
/// Whether there is any, for deciding if a worker is needed at all.
[[nodiscard]] bool has_amd(const std::string& root = "");

} // namespace herd::node
