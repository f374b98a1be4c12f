// Graphs without Python: recorded, written, read, planned and called; and the JSON reader.
#include <cstring>

#include "check.h"
#include "op/api.h"
#include "op/random.h"
#include "record/read.h"
#include "runtime/graph_file.h"
#include "runtime/json.h"

using namespace sn;

namespace {

Tensor numbers(DimSpan shape, float first) {
    std::vector<float> values(static_cast<size_t>(numel(shape)));
    for (size_t i = 0; i < values.size(); ++i)
        values[i] = first + 0.37f * static_cast<float>(i % 7);
    return from_memory(values.data(), shape, contiguous_strides(shape), DType::kF32, Device{});
}

std::vector<float> read(const Tensor& x) {
    Tensor keep;
    const auto* data = static_cast<const float*>(read_values(x, &keep));
    return {data, data + x.numel()};
}

Tensor network(const Tensor& x, const Tensor& w) {
    const Tensor part = slice(x, Dims{1, 0}, Dims{2, 3}, Dims{2, 1});
    return relu(matmul(part, w)) * Tensor(0.5) + part;
}

Model recorded(std::vector<Tensor>* constants) {
    const uint64_t before = random_state().counter;
    Trace trace(Randomness::kSame);
    const Tensor x = trace.placeholder({Dims{4, 3}, DType::kF32, {}});
    const Tensor w = trace.placeholder({Dims{3, 3}, DType::kF32, {}});
    Tensor y;
    {
        const RecordInto scope(trace);
        y = sum(network(x, w), Dims{1}, false);
    }
    return model_of(trace, {&y, 1},
                    {{"x", InputRole::kArgument, false}, {"w", InputRole::kParameter, true}},
                    before, constants);
}

TEST(round_trip) {
    std::vector<Tensor> constants;
    const Model model = recorded(&constants);
    CHECK(constants.empty());
    const std::string text = write_graph(model);
    const Model again = read_graph(text);
    CHECK(write_graph(again) == text);
    CHECK(verify(again.graph).empty());
    CHECK(again.inputs[1].name == "w" && again.inputs[1].requires_grad);
    const Tensor inputs[] = {numbers(Dims{4, 3}, -1), numbers(Dims{3, 3}, 0.2f)};
    const std::vector<float> want = read(sum(network(inputs[0], inputs[1]), Dims{1}, false));
    for (const Model* m : {&model, &again}) {
        const std::vector<float> got = read(call(*m, inputs)[0]);
        CHECK(got.size() == want.size());
        CHECK(std::memcmp(got.data(), want.data(), want.size() * sizeof(float)) == 0);
        CHECK(plan_of(*m)->arena_bytes < 1000);
    }
    std::vector<Tensor> more;
    const Model small = apply_pass(apply_pass(again, "lower", &more), "simplify", &more);
    CHECK(read(call(small, inputs)[0]) == want);
}

template <class F>
bool refused(F f) {
    try {
        f();
    } catch (const Error& e) {
        return e.kind() == ErrorKind::kFile;
    }
    return false;
}

TEST(damage) {
    std::vector<Tensor> constants;
    const std::string text = write_graph(recorded(&constants));
    for (size_t length = 0; length + 2 < text.size(); length += 3)
        CHECK(refused([&] { read_graph(std::string_view(text).substr(0, length)); }));
    size_t unnoticed = 0;
    for (size_t at = 0; at < text.size(); ++at) {
        std::string changed = text;
        changed[at] = static_cast<char>(changed[at] ^ (1 << at % 7));
        if (!refused([&] { read_graph(changed); })) ++unnoticed;
    }
    CHECK(unnoticed < text.size() / 3);  // names, numbers and places may be others
}

TEST(json) {
    const auto number = [](std::string_view text) { return JsonReader(text, "x").number(); };
    CHECK(number("-0.5e1") == -5 && number(" 12") == 12);
    CHECK(refused([&] { number("1e999"); }) && refused([&] { number("+1"); }));
    CHECK(refused([&] { number(".5"); }) && refused([&] { number("1."); }));
    const auto whole = [](std::string_view text) { return JsonReader(text, "x").integer(); };
    CHECK(whole("-9223372036854775808") == INT64_MIN);
    CHECK(refused([&] { whole("9223372036854775808"); }) && refused([&] { whole("1.0"); }));
    const auto string = [](std::string_view text) { return JsonReader(text, "x").string(); };
    CHECK(string("\"\\ud83d\\ude00\\n\\\"\"") == "\xf0\x9f\x98\x80\n\"");
    CHECK(refused([&] { string("\"\\ude00\""); }) && refused([&] { string("\"\xc0\x80\""); }));
    CHECK(refused([&] { string("\"\xed\xa0\x80\""); }) && refused([&] { string("\"a"); }));
    for (double x : {0.1, -0.0, 5e-324, 1.7976931348623157e308}) {
        std::string out;
        append_json(out, x);
        JsonReader json(out, "x");
        const double back = read_float(json);
        CHECK(std::memcmp(&back, &x, sizeof x) == 0);
    }
    std::string out;
    append_json(out, std::string_view("a\"\\\x01\xff"));
    CHECK(out == "\"a\\\"\\\\\\u0001\xef\xbf\xbd\"");
    CHECK(string(out) == "a\"\\\x01\xef\xbf\xbd");
}

}  // namespace

int main(int argc, char** argv) { return sn::test::run(argc, argv); }
