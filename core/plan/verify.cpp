#include <cstdio>

#include "op/op.h"
#include "plan/plan.h"

namespace sn {

namespace {

std::string number(const char* what, size_t i) {
    return std::string(what) + " " + std::to_string(i);
}

// Lowest and highest byte that a view touches, relative to its first element. Empty views touch
// none.
bool extent(const TensorView& t, int64_t* low, int64_t* high) {
    *low = *high = 0;
    for (int d = 0; d < t.rank; ++d) {
        if (t.shape[d] == 0) return false;
        const int64_t reach = (t.shape[d] - 1) * t.strides[d];
        (reach < 0 ? *low : *high) += reach;
    }
    const int64_t size = static_cast<int64_t>(dtype_size(t.dtype));
    *low *= size;
    *high = (*high + 1) * size;
    return true;
}

}  // namespace

std::string verify(const Plan& plan) {
    // Arena buffers that are alive in the same step must not share a byte.
    for (size_t i = 0; i < plan.buffers.size(); ++i) {
        const PlanBuffer& a = plan.buffers[i];
        if (a.first > a.last) return number("buffer", i) + " dies before it is made";
        if (a.kind != BufferKind::kArena || a.bytes == 0) continue;
        if (a.offset + a.bytes > plan.arena_bytes) return number("buffer", i) + " leaves the arena";
        if (a.offset % 64) return number("buffer", i) + " is not aligned";
        for (size_t j = i + 1; j < plan.buffers.size(); ++j) {
            const PlanBuffer& b = plan.buffers[j];
            if (b.kind != BufferKind::kArena || b.bytes == 0) continue;
            const bool together = a.first <= b.last && b.first <= a.last;
            const bool overlap = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
            if (together && overlap) {
                return number("buffers", i) + " and " + std::to_string(j) +
                       " are alive at once in the same bytes";
            }
        }
    }
    std::vector<uint8_t> written(plan.buffers.size(), 0);
    for (size_t i = 0; i < plan.buffers.size(); ++i)
        written[i] = plan.buffers[i].kind == BufferKind::kInput ||
                     plan.buffers[i].kind == BufferKind::kConstant || plan.buffers[i].bytes == 0;
    bool overwrote = false;
    for (size_t k = 0; k < plan.steps.size(); ++k) {
        const Step& step = plan.steps[k];
        const auto check = [&](const Slot& slot, const TensorView* view,
                               bool writes) -> std::string {
            if (slot.buffer == kNone) return {};
            if (slot.buffer >= plan.buffers.size()) return "an unknown buffer";
            const PlanBuffer& b = plan.buffers[slot.buffer];
            if (k < b.first || k > b.last)
                return number("buffer", slot.buffer) + " outside its life";
            if (!writes && !written[slot.buffer])
                return number("buffer", slot.buffer) + " before it is written";
            int64_t low = 0, high = 0;
            if (view && slot.terms.empty() && b.kind != BufferKind::kInput &&
                extent(*view, &low, &high) &&
                (slot.offset + low < 0 || slot.offset + high > static_cast<int64_t>(b.bytes)))
                return number("buffer", slot.buffer) + " beyond its end";
            return {};
        };
        for (size_t i = 0; i < step.in_slots.size(); ++i) {
            const std::string wrong = check(step.in_slots[i], &step.in[i], false);
            if (!wrong.empty()) return number("step", k) + " reads " + wrong;
        }
        for (size_t i = 0; i < step.out_slots.size(); ++i) {
            const std::string wrong = check(step.out_slots[i], &step.out[i], true);
            if (!wrong.empty()) return number("step", k) + " writes " + wrong;
            if (step.out_slots[i].buffer != kNone) written[step.out_slots[i].buffer] = 1;
        }
        for (size_t i = 0; i < step.bindings.size(); ++i) {
            const Slot& slot = step.bindings[i];
            if (step.writes[i] && slot.buffer != kNone &&
                plan.buffers[slot.buffer].kind == BufferKind::kConstant)
                return number("step", k) + " writes over a constant";
            const std::string wrong = check(slot, nullptr, step.writes[i]);
            if (!wrong.empty()) return number("step", k) + " uses " + wrong;
        }
        for (size_t i = 0; i < step.bindings.size(); ++i)
            if (step.writes[i]) written[step.bindings[i].buffer] = 1;
        if (step.checks_values && overwrote)
            return number("step", k) + " may fail after an input was written over";
        overwrote |= step.overwrites_input;
    }
    if (const std::string wrong = verify_order(plan); !wrong.empty()) return wrong;
    for (size_t i = 0; i < plan.outputs.size(); ++i) {
        const uint32_t b = plan.outputs[i].slot.buffer;
        if (b == kNone || b >= plan.buffers.size()) return number("output", i) + " has no buffer";
        if (plan.buffers[b].kind == BufferKind::kArena)
            return number("output", i) + " lies in the arena";
        if (!written[b]) return number("output", i) + " is never written";
    }
    return {};
}

std::string print(const Plan& plan) {
    std::string text;
    char line[160];
    std::snprintf(line, sizeof line, "plan: %zu steps, arena %zu bytes, %zu outputs\n",
                  plan.steps.size(), plan.arena_bytes, plan.outputs.size());
    text += line;
    const auto name = [&](const Slot& slot) {
        if (slot.buffer == kNone) return "s" + std::to_string(slot.scalar);
        const PlanBuffer& b = plan.buffers[slot.buffer];
        const char kind = "ioac"[static_cast<size_t>(b.kind)];
        std::string out(1, kind);
        out +=
            b.kind == BufferKind::kArena ? "@" + std::to_string(b.offset) : std::to_string(b.index);
        if (slot.offset) out += "+" + std::to_string(slot.offset);
        return out;
    };
    for (size_t k = 0; k < plan.steps.size(); ++k) {
        const Step& s = plan.steps[k];
        text += std::to_string(k) + ": ";
        if (s.kernel) {
            const OpDef& def =
                op_def(plan.graph
                           .nodes[plan.groups[k].anchor != kNone ? plan.groups[k].anchor
                                                                 : plan.groups[k].nodes[0]]
                           .op);
            text += def.name;
            text += "(";
            for (size_t i = 0; i < s.in_slots.size(); ++i)
                text += (i ? ", " : "") + name(s.in_slots[i]);
            text += ") ->";
            for (const Slot& slot : s.out_slots)
                text += " " + (slot.buffer == kNone ? "-" : name(slot));
            if (s.program) text += " with epilogue";
        }
        if (s.program) {
            text += s.kernel ? "\n" : "program\n";
            text += s.program->describe();
            text += "   bindings:";
            for (const Slot& slot : s.bindings) text += " " + name(slot);
        }
        text += "\n";
    }
    return text;
}

}  // namespace sn
