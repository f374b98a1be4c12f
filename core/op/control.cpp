#include "op/control.h"

#include "op/families.h"

namespace sn {

namespace {

OpId control_ids[3];

}  // namespace

ControlKind control_kind(OpId op) {
    for (const ControlKind kind : {ControlKind::kCond, ControlKind::kWhile})
        if (op == control_ids[static_cast<int>(kind)]) return kind;
    return ControlKind::kScan;
}

OpId control_op(ControlKind kind) {
    op_count();  // the families are registered
    return control_ids[static_cast<int>(kind)];
}

// `blocks`: places in the list of blocks that the graph has. `draw`: how many random numbers the
// graph has drawn before.
void register_control_ops() {
    const auto add = [](ControlKind kind, const char* name, const char* schema, const char* doc) {
        control_ids[static_cast<int>(kind)] = register_op({
            .name = name,
            .n_in = -1,
            .n_out = -1,
            .schema = schema,
            .doc = doc,
            .checks_values = true,
            .pure = false,
        });
    };
    add(ControlKind::kCond, "cond", "blocks:ints draw:int",
        "Operand 0 (a bool) chooses one of two blocks, which is called with the other operands.");
    add(ControlKind::kWhile, "while_loop", "blocks:ints draw:int max_steps:int",
        "Calls block 1, whose results take the place of the first operands, as long as block 0 "
        "gives True; at most max_steps times unless that is -1.");
    add(ControlKind::kScan, "scan",
        "blocks:ints draw:int carries:int xs:int length:int reverse:bool",
        "Calls the block `length` times: on what the last call gave (`carries` operands), on the "
        "next row of each of `xs` operands, and on the other operands. Gives the carries of the "
        "last call, and the further results of all calls as rows.");
}

}  // namespace sn
