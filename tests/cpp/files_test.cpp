// Model files: what is written is read, and damaged ones are refused without harm. The second part
// is a fuzzer: it changes good files and asks for an error or a model that runs. A short run is a
// test; SENNIT_FUZZ=200000 makes a long one, SENNIT_FUZZ_SEED another one.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/error.h"
#include "base/sha256.h"
#include "check.h"
#include "memory/recycling.h"
#include "record/read.h"
#include "runtime/control.h"
#include "runtime/load.h"
#include "runtime/safetensors.h"

using namespace sn;

namespace {

struct Random {  // splitmix64
    uint64_t state;
    uint64_t next() {
        uint64_t z = state += 0x9e3779b97f4a7c15ULL;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
        return z ^ z >> 31;
    }
    size_t below(size_t n) { return n ? next() % n : 0; }
};

std::string read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::span<const std::byte> bytes(const std::string& s) { return std::as_bytes(std::span(s)); }

struct Parts {
    std::string head, data;
};
Parts split(const std::string& file) {
    uint64_t length = 0;
    std::memcpy(&length, file.data(), 8);
    return {file.substr(8, length), file.substr(8 + length)};
}
std::string join(const std::string& head, const std::string& data) {
    const uint64_t length = head.size();
    return std::string(reinterpret_cast<const char*>(&length), 8) + head + data;
}

// ---- the fuzzer

// Pieces of JSON inside of JSON text: numbers, words and strings. In a header the graph is text
// too, where a quote is \".
struct Token {
    size_t begin, end;
};
std::vector<Token> tokens_of(const std::string& text) {
    std::vector<Token> tokens;
    const auto word = [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '+' || c == '.' ||
               c == '_';
    };
    for (size_t i = 0; i < text.size();) {
        size_t end = i;
        while (end < text.size() && word(text[end])) ++end;
        if (end > i) tokens.push_back({i, end});
        i = end + 1;
    }
    return tokens;
}

constexpr const char* kPool[] = {"0",
                                 "1",
                                 "-1",
                                 "2",
                                 "3",
                                 "64",
                                 "4294967296",
                                 "281474976710655",
                                 "4611686018427387904",
                                 "9223372036854775807",
                                 "-9223372036854775808",
                                 "18446744073709551616",
                                 "1e308",
                                 "-0.0",
                                 "1e999",
                                 "true",
                                 "false",
                                 "null",
                                 "nan",
                                 "float64",
                                 "bool",
                                 "int32",
                                 "bfloat16",
                                 "complex64",
                                 "F64",
                                 "BOOL",
                                 "[]",
                                 "{}",
                                 "[[[[[[[["};

void change_text(std::string& text, Random& rng) {
    const std::vector<Token> tokens = tokens_of(text);
    if (tokens.empty()) return;
    const Token t = tokens[rng.below(tokens.size())];
    switch (rng.below(7)) {
        case 0: {  // another token of the file: an op by another op, an id by another id
            const Token o = tokens[rng.below(tokens.size())];
            const std::string with = text.substr(o.begin, o.end - o.begin);
            text.replace(t.begin, t.end - t.begin, with);
            break;
        }
        case 1:
        case 2: text.replace(t.begin, t.end - t.begin, kPool[rng.below(std::size(kPool))]); break;
        case 3: {  // a number nearby
            const std::string was = text.substr(t.begin, t.end - t.begin);
            if (was.find_first_not_of("0123456789") != std::string::npos) break;
            const uint64_t n = std::strtoull(was.c_str(), nullptr, 10) + rng.below(5) - 2;
            text.replace(t.begin, t.end - t.begin, std::to_string(static_cast<int64_t>(n)));
            break;
        }
        case 4: {  // a piece is gone
            const size_t n = 1 + rng.below(40);
            text.erase(t.begin, n);
            break;
        }
        case 5: {  // a piece comes twice
            const std::string piece = text.substr(t.begin, 1 + rng.below(200));
            text.insert(t.begin, piece);
            break;
        }
        default: text[rng.below(text.size())] = static_cast<char>(rng.next()); break;
    }
}

std::string changed(const std::string& file, Random& rng) {
    std::string made = file;
    if (rng.below(8) == 0) {  // bytes anywhere
        for (size_t k = 1 + rng.below(4); k-- > 0;)
            made[rng.below(made.size())] = static_cast<char>(rng.next());
        if (rng.below(3) == 0) made.resize(rng.below(made.size()));
        return made;
    }
    Parts p = split(file);
    for (size_t k = 1 + rng.below(3); k-- > 0;) change_text(p.head, rng);
    return join(p.head, p.data);
}

constexpr int64_t kMostElements = 1 << 16;

bool small(const Model& m) {
    int64_t total = 0;
    for (const ValueInfo& v : m.graph.values) {
        int64_t n = 1;
        for (const int64_t size : v.meta.shape) {
            if (size > kMostElements) return false;
            n *= size;
            if (n > kMostElements) return false;
        }
        total += n;
        if (total > 4 * kMostElements) return false;
    }
    return true;
}

struct Outcome {
    long refused = 0, loaded = 0, ran = 0, failed = 0;
};

void try_file(const std::string& file, Random& rng, Outcome* outcome) {
    SavedModel saved;
    try {
        saved = read_model(FileBytes::copy_of(file.data(), file.size()), false);
    } catch (const Error& e) {
        ++outcome->refused;
        if (e.kind() != ErrorKind::kFile) {
            CHECK_EQ(std::string(e.what()), "an error of the file");
        }
        return;
    }
    ++outcome->loaded;
    if (!small(saved.model)) return;
    try {
        std::vector<Tensor> given;
        for (size_t i = 0; i < saved.n_arguments; ++i) {
            const Meta& meta = saved.model.graph.meta(saved.model.graph.inputs[i]);
            std::vector<unsigned char> data(static_cast<size_t>(numel(meta.shape)) *
                                            dtype_size(meta.dtype));
            const bool flags = meta.dtype == DType::kBool || rng.below(2) == 0;
            for (unsigned char& b : data)
                b = static_cast<unsigned char>(flags ? rng.below(2) : rng.next());
            given.push_back(from_memory(data.data(), meta.shape, contiguous_strides(meta.shape),
                                        meta.dtype, Device{}));
        }
        given.insert(given.end(), saved.stand.begin(), saved.stand.end());
        const NoGrad no_grad;
        for (const Tensor& t : call(saved.model, given)) {
            Tensor keep;
            read_values(t, &keep);
        }
        finish_recorded();
        ++outcome->ran;
    } catch (const Error& e) {
        ++outcome->failed;
        try {
            finish_recorded();
        } catch (const Error&) {
            Recorder::window().take_failure();
        }
        if (e.kind() == ErrorKind::kInternal) CHECK_EQ(std::string(e.what()), "no bug");
    }
}

std::vector<std::string> golden() {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(SENNIT_GOLDEN))
        if (entry.path().extension() == ".sn") files.push_back(read(entry.path()));
    std::ranges::sort(files);
    return files;
}

}  // namespace

TEST(sha256) {
    bool portable = false;
    const auto of = [&](const std::string& text, size_t piece) {
        Sha256 sum(portable);
        for (size_t i = 0; i < text.size(); i += piece)
            sum.update(text.data() + i, std::min(piece, text.size() - i));
        return sum.hex();
    };
    for (int i = 0; i < 2; ++i, portable = true) {
        // FIPS 180-4 examples.
        CHECK_EQ(of("", 1), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        CHECK_EQ(of("abc", 1), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        const std::string two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        const std::string million(1'000'000, 'a');
        for (const size_t piece : {size_t{1}, size_t{7}, size_t{64}, size_t{1000}}) {
            CHECK_EQ(of(two, piece),
                     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
            CHECK_EQ(of(million, piece),
                     "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
        }
    }
}

TEST(what_is_written_is_read) {
    const std::string floats(24, 'f'), flags(3, '\1'), none;
    const std::vector<StoredTensor> tensors = {
        {"flags \"\n\xc3\xa9", DType::kBool, {3}, bytes(flags)},
        {"w", DType::kF32, {2, 3}, bytes(floats)},
        {"empty", DType::kI64, {0, 4}, bytes(none)},
        {"z", DType::kC64, {3}, bytes(floats)},
    };
    const std::map<std::string, std::string> metadata = {{"a", "1"}, {"\xe2\x82\xac", "\x7f\t"}};
    const std::string file = write_safetensors(tensors, metadata);
    const StoredFile made = read_safetensors(bytes(file));
    CHECK(made.metadata == metadata);
    CHECK_EQ(made.tensors.size(), tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
        CHECK_EQ(made.tensors[i].name, tensors[i].name);
        CHECK(made.tensors[i].dtype == tensors[i].dtype);
        CHECK(made.tensors[i].shape == tensors[i].shape);
        CHECK(std::ranges::equal(made.tensors[i].data, tensors[i].data));
    }
    // Every byte counts, but for padding; without its name the checksum is any text.
    const size_t name = file.find("sha256");
    for (size_t at = 8; at < file.size(); ++at) {
        if (file[at] == ' ' || (at >= name && at < name + 6)) continue;
        std::string bad = file;
        bad[at] ^= 1;
        CHECK_THROWS(read_safetensors(bytes(bad)), "[load]");
    }
    CHECK_THROWS(write_safetensors(std::span(tensors), {{"sha256", ""}}), "sha256");
}

TEST(files_from_python_are_read) {
    for (const std::string& file : golden()) {
        const SavedModel made = read_model(FileBytes::copy_of(file.data(), file.size()), true);
        CHECK(!made.stand.empty() && !made.outputs.empty() && !made.name.empty());
        // The checksum of Python's writer is that of ours.
        const StoredFile stored = read_safetensors(bytes(file));
        read_safetensors(bytes(write_safetensors(stored.tensors, stored.metadata)));
    }
    CHECK_EQ(golden().empty(), false);
}

TEST(damaged_files_do_no_harm) {
    const char* count_text = std::getenv("SENNIT_FUZZ");
    const char* seed_text = std::getenv("SENNIT_FUZZ_SEED");
    const long count = count_text ? std::atol(count_text) : 1500;
    Random rng{seed_text ? std::strtoull(seed_text, nullptr, 10) : 1};
    const std::vector<std::string> seeds = golden();
    set_most_steps(50);  // a loop that has no end any more
    Outcome outcome;
    std::vector<std::string> corpus = seeds;  // and changed ones that were still models
    int64_t most = 0;
    for (long i = 0; i < count; ++i) {
        const std::string file = changed(corpus[rng.below(corpus.size())], rng);
        const long before = outcome.loaded;
        try_file(file, rng, &outcome);
        if (outcome.loaded > before && corpus.size() < 400 && file.size() < (1 << 20))
            corpus.push_back(file);
        most = std::max(most, cpu_allocator().stats().peak);
        if ((i + 1) % 20000 == 0)
            std::fprintf(stderr, "%ld files: %ld refused, %ld loaded, %ld ran, %ld failed\n", i + 1,
                         outcome.refused, outcome.loaded, outcome.ran, outcome.failed);
    }
    std::printf(
        "%ld damaged files: %ld refused, %ld loaded, %ld ran, %ld failed as they ran; "
        "%.1f MB of tensors at most\n",
        count, outcome.refused, outcome.loaded, outcome.ran, outcome.failed,
        static_cast<double>(most) / 1e6);
    CHECK(outcome.refused > count / 4 && outcome.loaded > 0 && outcome.ran > 0);
    CHECK(most < int64_t{1} << 30);
}

int main(int argc, char** argv) { return sn::test::run(argc, argv); }
