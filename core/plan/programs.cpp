#include <mutex>
#include <unordered_map>

#include "plan/plan.h"

namespace sn {

namespace {

// Everything that a program is made of, as words.
void write(const Dims& dims, std::vector<int64_t>& words) {
    words.push_back(static_cast<int64_t>(dims.size()));
    words.insert(words.end(), dims.begin(), dims.end());
}

std::vector<int64_t> words_of(Device device, const ProgramSpec& spec) {
    std::vector<int64_t> words;
    words.reserve(16 + 8 * (spec.inputs.size() + spec.outputs.size() + spec.instructions.size()));
    const auto add = [&](auto... numbers) {
        (words.push_back(static_cast<int64_t>(numbers)), ...);
    };
    add(device.backend, spec.row_dims, spec.product, spec.product_in_output, spec.inputs.size(),
        spec.instructions.size(), spec.outputs.size());
    write(spec.shape, words);
    for (const ProgramSpec::Input& in : spec.inputs) {
        add(in.dtype, in.scalar, in.binding);
        write(in.strides, words);
    }
    for (const ProgramSpec::Instruction& i : spec.instructions) {
        add(i.kind, i.op, i.dtype, i.args.size());
        for (int32_t arg : i.args) add(arg);
    }
    for (const ProgramSpec::Output& out : spec.outputs) {
        add(out.value, out.dtype, out.binding);
        write(out.strides, words);
    }
    return words;
}

uint64_t hash_words(const std::vector<int64_t>& words) {
    uint64_t h = 0x243f6a8885a308d3ull;
    for (int64_t word : words) {
        h = (h ^ static_cast<uint64_t>(word)) * 0x9fb21c651e98df25ull;
        h ^= h >> 29;
    }
    return h;
}

struct Entry {
    std::vector<int64_t> words;
    std::weak_ptr<const CompiledProgram> program;
};
std::mutex lock;
std::unordered_multimap<uint64_t, Entry> programs;  // of plans that are alive, and some of others
size_t sweep_at = 1024;

}  // namespace

// Layers of one network have equal programs, and so has the update of an optimizer for every size
// of batch.
std::shared_ptr<const CompiledProgram> compiled_program(Device device, const ProgramSpec& spec) {
    std::vector<int64_t> words = words_of(device, spec);
    const uint64_t hash = hash_words(words);
    const std::lock_guard guard(lock);
    const auto range = programs.equal_range(hash);
    for (auto it = range.first; it != range.second; ++it) {
        if (it->second.words != words) continue;
        if (auto found = it->second.program.lock()) return found;
        auto made = backend(device).compile(spec);
        it->second.program = made;
        return made;
    }
    auto made = backend(device).compile(spec);
    if (programs.size() >= sweep_at) {
        std::erase_if(programs, [](const auto& item) { return item.second.program.expired(); });
        sweep_at = std::max<size_t>(1024, 2 * programs.size());
    }
    programs.emplace(hash, Entry{std::move(words), made});
    return made;
}

}  // namespace sn
