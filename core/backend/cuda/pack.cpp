// The format, all numbers little-endian:
//   "SNCUPK01"; 64 digits: the SHA-256 of all that follows
//   text: Sennit's version; u32: NVRTC's major version, u32: minor; u64: number of entries
//   for each: text key, text name, u32 architecture, text image
// where a text is a u64 of its length and its bytes.
#include "backend/cuda/pack.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <span>

#include "backend/cuda/driver.h"
#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"

namespace sn::cuda {

namespace {

constexpr std::string_view kMagic = "SNCUPK01";
constexpr size_t kDigits = 64;

std::mutex lock;
std::atomic<int> files{0};
std::vector<std::string>& names() {
    static auto* made = new std::vector<std::string>;
    return *made;
}
using ByArch = std::map<int, PackEntry>;
std::map<std::string, ByArch>& table() {
    static auto* made = new std::map<std::string, ByArch>;
    return *made;
}

std::string hash_of(std::string_view data) {
    Sha256 hash;
    hash.update(data.data(), data.size());
    return hash.hex();
}

class Reader {
public:
    Reader(std::string_view data, const std::string& path) : data_(data), path_(path) {}
    template <class T>
    T number() {
        T value;
        std::memcpy(&value, take(sizeof value).data(), sizeof value);
        return value;
    }
    std::string text() { return std::string(take(number<uint64_t>())); }
    bool done() const { return data_.empty(); }
    [[noreturn]] void damaged() const {
        fail(ErrorKind::kFile, "load_pack",
             "%s is damaged: it is not what `sennit cuda-pack` wrote; copy or make it again",
             path_.c_str());
    }

private:
    std::string_view take(uint64_t bytes) {
        if (bytes > data_.size()) damaged();
        const std::string_view part = data_.substr(0, bytes);
        data_.remove_prefix(bytes);
        return part;
    }
    std::string_view data_;
    const std::string& path_;
};

void put(std::string& to, std::string_view text) {
    const uint64_t size = text.size();
    to.append(reinterpret_cast<const char*>(&size), sizeof size);
    to += text;
}
template <class T>
void put_number(std::string& to, T value) {
    to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

void load_pack(const std::string& path) {
    const auto file = FileBytes::open(path, false, "load_pack");
    const std::string_view all(reinterpret_cast<const char*>(file->bytes().data()),
                               file->bytes().size());
    if (all.substr(0, kMagic.size()) != kMagic) {
        fail(ErrorKind::kFile, "load_pack",
             "%s is no file of compiled kernels; make one with: sennit cuda-pack -o FILE SCRIPT",
             path.c_str());
    }
    const size_t head = kMagic.size() + kDigits;
    const std::string_view rest = all.substr(std::min(head, all.size()));
    Reader read(rest, path);
    if (all.size() < head || hash_of(rest) != all.substr(kMagic.size(), kDigits)) read.damaged();
    if (const std::string version = read.text(); version != SN_VERSION) {
        fail(ErrorKind::kFile, "load_pack",
             "%s was made by Sennit %s, and this is %s, whose kernels are others; make it again: "
             "sennit cuda-pack",
             path.c_str(), version.c_str(), SN_VERSION);
    }
    const auto major = static_cast<int>(read.number<uint32_t>());
    const auto minor = static_cast<int>(read.number<uint32_t>());
    const Driver& driver = libraries().driver;
    if (driver && major > driver.version_found / 1000) {
        fail(ErrorKind::kDevice, "load_pack",
             "%s was compiled by NVRTC %d.%d, and the driver is for CUDA %d.%d and cannot load it; "
             "update the driver, or make the file with an older NVRTC",
             path.c_str(), major, minor, driver.version_found / 1000,
             driver.version_found % 1000 / 10);
    }
    std::vector<PackEntry> entries;
    for (auto count = read.number<uint64_t>(); count > 0; --count) {
        PackEntry e;
        e.key = read.text();
        e.name = read.text();
        e.arch = static_cast<int>(read.number<uint32_t>());
        e.image = read.text();
        entries.push_back(std::move(e));
    }
    if (!read.done()) read.damaged();
    const std::lock_guard guard(lock);
    for (PackEntry& e : entries) {
        ByArch& of_key = table()[e.key];
        const int arch = e.arch;
        of_key.emplace(arch, std::move(e));  // those that are there may be in use, and are the same
    }
    names().push_back(path);
    ++files;
}

void write_pack(const std::string& path, const std::vector<PackEntry>& entries) {
    std::string rest;
    put(rest, SN_VERSION);
    put_number(rest, static_cast<uint32_t>(libraries().compiler.major));
    put_number(rest, static_cast<uint32_t>(libraries().compiler.minor));
    put_number(rest, uint64_t{entries.size()});
    for (const PackEntry& e : entries) {
        put(rest, e.key);
        put(rest, e.name);
        put_number(rest, static_cast<uint32_t>(e.arch));
        put(rest, e.image);
    }
    const std::string all = std::string(kMagic) + hash_of(rest) + rest;
    write_file(path, std::as_bytes(std::span(all.data(), all.size())), "cuda_pack");
}

bool have_packs() {
    static const bool read = [] {
        const char* list = std::getenv("SENNIT_CUDA_PACK");
        if (list && *list) load_pack(list);
        return true;
    }();
    (void)read;
    return files.load(std::memory_order_acquire) > 0;
}

const PackEntry* packed(const std::string& key, int capability) {
    if (!have_packs()) return nullptr;
    const std::lock_guard guard(lock);
    const auto found = table().find(key);
    if (found == table().end()) return nullptr;
    auto next = found->second.upper_bound(capability);
    if (next == found->second.begin()) return nullptr;
    const PackEntry& best = std::prev(next)->second;
    return best.arch / 10 == capability / 10 ? &best : nullptr;
}

std::string pack_names() {
    const std::lock_guard guard(lock);
    std::string all;
    for (const std::string& name : names()) all += (all.empty() ? "" : ", ") + name;
    return all;
}

}  // namespace sn::cuda
