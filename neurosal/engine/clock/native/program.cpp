// Circuits in continuous time on a processor: what units do, and what spikes do at synapses that never change.
//
// The equations of a circuit are in laws.hpp, which emitting.py writes: Number (float or double), Flag (as wide as it),
// MOST (state variables and inputs of one block at most) and LAWS, one for each block. Units, blocks, rows of edges and
// the order of a step are those of blocks.py, outlets.py and clock.py. State lies in torch's tensors.
//
// Two ways lead here: one slot of one step in all replicas, where something else happens in a step as well; and many
// steps of one replica after the other, whose state then stays in the cache.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#if defined(_WIN32)
#define SHARED extern "C" __declspec(dllexport)
#else
#define SHARED extern "C"
#endif
#if defined(__GNUC__)
#define SOON(address) __builtin_prefetch(address)
#else
#define SOON(address)
#endif

// The compiler may take several exponentials at once, of glibc, which are right to 4 units in the last place. float64 does
// not: it is there to agree with others.
#if defined(VECTOR) && defined(__GLIBC__) && defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
extern "C" {
__attribute__((simd("notinbranch"), const)) float expf(float) noexcept;
__attribute__((simd("notinbranch"), const)) float logf(float) noexcept;
}
#endif

#include "laws.hpp"

using Spikes = std::vector<int64_t>;

// Populations, in order: unit u of population p in replica r has the number first[p] + r * units[p] + u.
struct Group {
    int64_t populations, replicas;
    const int64_t *first, *units;

};

// A value of every unit (rows = 0), or values that change with time: row k from step k * every on, of one number for all
// units or of one for each unit of a population.
struct Input {
    const Number* values;
    int64_t rows, every, width;

    const Number* at(int64_t step, int64_t number, int64_t unit) const {
        if (!rows) return values + number;
        return values + std::min(step / every, rows - 1) * width + (width > 1 ? unit : 0);
    }
};

struct Block {
    Group group;
    int64_t law, states, inputs, opens, size, refractory;
    Number* state;        // [states, size]
    Number* const* open;  // 1 where a unit is not in refractory time and has not just spiked; equal tensors
    const Input* input;
};

// Edges by the unit that they leave.
struct Outlets {
    int64_t delays, units, size;   // how many delays, units of a row, and units of a replica alone (0: no shared graph)
    const int64_t *delay, *rows;   // steps, and how many rows have them
    const int32_t *begin, *count;  // [rows, units]: of the edges of a unit
    const int32_t* apart;          // [rows, units]: from what an edge stands for to the same of the next replica; or none
    const int32_t* by_replica;     // how units are numbered replica by replica; or none, where that is how they are
    const int32_t* place;          // of an edge in the order of delays; or none, where it is in that order
};

struct Wires {
    Outlets outlets;
    int64_t group;  // that they leave
    const int32_t* post;
    const Number *weight, *open;
    Number* state;
};

// Units that spike, and how often each does; once where that is not said.
struct Some {
    const int64_t* units;
    int64_t count;
    const int32_t* times = nullptr;
};

// Spikes of one group: of the step `first`, of the one after it, ….
struct Past {
    Spikes spikes, begin;  // begin[k] of the k-th step, and the end
    int64_t first;

    Some of(int64_t step) const {
        const int64_t k = step - first, count = k < 0 ? 0 : begin[k + 1] - begin[k];
        return {count ? spikes.data() + begin[k] : nullptr, count};
    }
};

// Units --------------------------------------------------------------------------------------------------------------

constexpr int64_t RUN = 1024;  // units between two looks for spikes

static void place(const Block& b, int64_t step, int64_t number, int64_t unit, Number** x, const Number** c) {
    for (int64_t k = 0; k < b.states; ++k) x[k] = b.state + k * b.size + number;
    for (int64_t k = 0; k < b.inputs; ++k) c[k] = b.input[k].at(step, number, unit);
}

template <class Found>
static void update(const Block& b, int64_t step, int64_t replica, int64_t population, Found found) {
    const Law& law = LAWS[b.law];
    const int64_t units = b.group.units[population], first = b.group.first[population] + replica * units;
    Number* x[MOST];
    const Number* c[MOST];
    Flag flags[RUN];
    for (int64_t at = 0; at < units; at += RUN) {
        const int64_t n = std::min(RUN, units - at);
        place(b, step, first + at, at, x, c);
        law.update(x, c, b.opens ? b.open[0] + first + at : nullptr, n, flags);
        if (!law.spikes) continue;
        for (int64_t k = 0; k < n; k += 64) {
            const int64_t end = std::min(k + 64, n);
            Flag any = 0;
            for (int64_t i = k; i < end; ++i) any |= flags[i];
            if (any)
                for (int64_t i = k; i < end; ++i)
                    if (flags[i]) found(first + at + i);
        }
    }
}

static void gate(const Block& b, const int64_t* spikes, int64_t count, Number value) {
    for (int64_t k = 0; k < b.opens; ++k)
        for (int64_t i = 0; i < count; ++i) b.open[k][spikes[i]] = value;
}

static void reset(const Block& b, int64_t step, const int64_t* spikes, int64_t count) {
    if (!LAWS[b.law].resets) return;
    Number* x[MOST];
    const Number* c[MOST];
    for (int64_t i = 0; i < count; ++i) {
        int64_t p = b.group.populations - 1;
        while (spikes[i] < b.group.first[p]) --p;
        place(b, step, spikes[i], (spikes[i] - b.group.first[p]) % b.group.units[p], x, c);
        LAWS[b.law].reset(x, c);
    }
}

// Edges --------------------------------------------------------------------------------------------------------------

struct Range {
    int32_t begin, end, away, times;
};

constexpr int64_t CHUNK = 256;  // ranges that are looked up before the first is used
constexpr int64_t AHEAD = 4;    // ranges between the one that is fetched and the one that is used
constexpr int64_t LINE = 64;    // bytes

// All ranges of edges that spikes reach, delay by delay, row by row, in chunks; spikes_of(k) are those of delay k.
template <class Of, class Use>
static void each(const Outlets& o, Of spikes_of, Use use) {
    Range ranges[CHUNK];
    int64_t found = 0, first = 0;
    for (int64_t k = 0; k < o.delays; ++k) {
        const Some spikes = spikes_of(k);
        for (int64_t row = 0; row < o.rows[k]; ++row, first += o.units)
            for (int64_t i = 0; i < spikes.count; ++i) {
                int64_t unit = spikes.units[i], replica = 0;
                if (o.size) {
                    unit = o.by_replica ? o.by_replica[unit] : unit;
                    replica = unit / o.size;
                    unit -= replica * o.size;
                }
                const int32_t begin = o.begin[first + unit], edges = o.count[first + unit];
                if (!edges) continue;
                const int32_t away = o.apart ? static_cast<int32_t>(o.apart[first + unit] * replica) : 0;
                ranges[found++] = {begin, begin + edges, away, spikes.times ? spikes.times[i] : 1};
                if (found == CHUNK) {
                    use(ranges, found);
                    found = 0;
                }
            }
    }
    use(ranges, found);
}

template <class T>
static void soon(const Range& range, const T* values) {
    for (int32_t edge = range.begin; edge < range.end; edge += LINE / sizeof(T)) SOON(values + edge);
}

// state[post] += weight * open, one edge after the other.
template <class Of>
static void arrive(const Wires& w, Of spikes_of) {
    const Outlets& o = w.outlets;
    each(o, spikes_of, [&](const Range* ranges, int64_t found) {
        for (int64_t i = 0; i < found; ++i) {
            if (i + AHEAD < found && !o.place) {
                soon(ranges[i + AHEAD], w.post);
                soon(ranges[i + AHEAD], w.weight);
            }
            for (int32_t time = 0; time < ranges[i].times; ++time)  // not times the weight, which rounds otherwise
                for (int32_t k = ranges[i].begin; k < ranges[i].end; ++k) {
                    const int32_t edge = o.place ? o.place[k] : k;
                    const int32_t target = w.post[edge] + ranges[i].away;
                    w.state[target] += w.open ? w.weight[edge] * w.open[target] : w.weight[edge];
                }
        }
    });
}

// One slot of one step, all replicas ---------------------------------------------------------------------------------

// Update, refractory time and threshold of a block. Units of `over` leave refractory time; those that spike go to `units`,
// in order, and their number is returned.
SHARED int64_t update_all(const Block* b, int64_t step, const int64_t* over, int64_t overs, int64_t* units) {
    int64_t count = 0;
    gate(*b, over, overs, 1);
    for (int64_t p = 0; p < b->group.populations; ++p)
        for (int64_t r = 0; r < b->group.replicas; ++r)
            update(*b, step, r, p, [&](int64_t number) { units[count++] = number; });
    gate(*b, units, count, 0);
    return count;
}

SHARED void reset_all(const Block* b, int64_t step, const int64_t* spikes, int64_t count) { reset(*b, step, spikes, count); }

SHARED void arrive_all(const Wires* w, const int64_t* const* spikes, const int64_t* counts) {
    arrive(*w, [&](int64_t k) { return Some{spikes[k], counts[k]}; });
}

// How many edges spikes reach.
SHARED int64_t reached(const Outlets* o, const int64_t* const* spikes, const int64_t* counts) {
    int64_t total = 0;
    const auto of = [&](int64_t k) { return Some{spikes[k], counts[k]}; };
    each(*o, of, [&](const Range* ranges, int64_t found) {
        for (int64_t i = 0; i < found; ++i) total += ranges[i].end - ranges[i].begin;
    });
    return total;
}

// Which, and, where there is room for it, how far what each stands for is from the same of the first replica.
SHARED void listed(const Outlets* o, const int64_t* const* spikes, const int64_t* counts, int32_t* edges, int32_t* away) {
    int64_t at = 0;
    const auto of = [&](int64_t k) { return Some{spikes[k], counts[k]}; };
    each(*o, of, [&](const Range* ranges, int64_t found) {
        for (int64_t i = 0; i < found; ++i)
            for (int32_t k = ranges[i].begin; k < ranges[i].end; ++k, ++at) {
                edges[at] = o->place ? o->place[k] : k;
                if (away) away[at] = ranges[i].away;
            }
    });
}

// Many steps, one replica after the other ------------------------------------------------------------------------------

struct Plan {
    int64_t blocks, groups, wires;  // groups: those of blocks, then sources
    const Block* block;
    const Group* group;
    const int64_t* longest;  // of each group: how many steps back spikes are asked for
    const Wires* wire;
};

// Spikes that are known: of each group those before the first step, of all replicas, by age from 0 on; and those that
// sources send, of each replica in order of steps.
struct Known {
    const int64_t* const* spikes;  // [groups, ages]
    const int64_t* counts;         // [groups, ages]
    int64_t ages;
    const int64_t* sent;   // of all sources
    const int32_t* times;  // of each of these; or none, where each is one spike
    const int64_t* begin;  // [replicas, steps + 1] in it
};

// Spikes of a population, replica by replica, in order of steps in each; how many each replica has.
struct Record {
    std::vector<int32_t> step, unit;  // steps from the first on
    Spikes counts;
};

// The last spikes of a block, as steps that were asked for say: key = step * size of the block + number.
struct Made {
    std::vector<Record> records;  // population by population, block by block
    std::vector<Spikes> late;     // block by block
};

static void run(const Plan& plan, const Known& known, int64_t replica, int64_t start, int64_t steps, bool keep, Made& made) {
    std::vector<Past> past(plan.groups);
    for (int64_t g = 0; g < plan.groups; ++g) {
        Past& mine = past[g];
        const int64_t ages = std::min(plan.longest[g], known.ages);
        mine.first = start - ages;
        mine.begin.reserve(ages + steps + 1);
        mine.begin.push_back(0);
        for (int64_t age = ages - 1; age >= 0; --age) {
            // Populations and replicas follow each other; units need not.
            const int64_t *spikes = known.spikes[g * known.ages + age], *end = spikes + known.counts[g * known.ages + age];
            for (int64_t p = 0; p < plan.group[g].populations; ++p) {
                const int64_t units = plan.group[g].units[p], first = plan.group[g].first[p] + replica * units;
                spikes = std::partition_point(spikes, end, [=](int64_t number) { return number < first; });
                for (; spikes < end && *spikes < first + units; ++spikes) mine.spikes.push_back(*spikes);
            }
            mine.begin.push_back(mine.spikes.size());
        }
    }
    for (Record& record : made.records) record.counts.push_back(-static_cast<int64_t>(record.step.size()));
    const int64_t* begin = known.begin + replica * (steps + 1);
    const auto sent = [&](int64_t k) {
        return Some{known.sent + begin[k], begin[k + 1] - begin[k], known.times ? known.times + begin[k] : nullptr};
    };
    for (int64_t step = start; step < start + steps; ++step) {
        Record* record = made.records.data();
        for (int64_t g = 0; g < plan.blocks; ++g) {
            const Block& b = plan.block[g];
            if (b.refractory) {
                const Some over = past[g].of(step - b.refractory);
                gate(b, over.units, over.count, 1);
            }
            for (int64_t p = 0; p < b.group.populations; ++p, ++record) {
                const int64_t before = past[g].spikes.size();
                update(b, step, replica, p, [&](int64_t number) { past[g].spikes.push_back(number); });
                if (!keep) continue;
                const int64_t first = b.group.first[p] + replica * b.group.units[p];
                for (int64_t i = before, n = past[g].spikes.size(); i < n; ++i) {
                    record->step.push_back(static_cast<int32_t>(step - start));
                    record->unit.push_back(static_cast<int32_t>(past[g].spikes[i] - first));
                }
            }
            past[g].begin.push_back(past[g].spikes.size());
            const Some spikes = past[g].of(step);
            gate(b, spikes.units, spikes.count, 0);
        }
        for (int64_t k = 0; k < plan.wires; ++k) {
            const Wires& w = plan.wire[k];
            arrive(w, [&](int64_t k) {
                const int64_t then = step - w.outlets.delay[k];
                return w.group < plan.blocks || then < start ? past[w.group].of(then) : sent(then - start);
            });
        }
        for (int64_t g = 0; g < plan.blocks; ++g) {
            const Some spikes = past[g].of(step);
            reset(plan.block[g], step, spikes.units, spikes.count);
        }
    }
    for (Record& record : made.records) record.counts.back() += record.step.size();
    for (int64_t g = 0; g < plan.blocks; ++g)
        for (int64_t step = std::max(start, start + steps - plan.longest[g]); step < start + steps; ++step) {
            const Some spikes = past[g].of(step);
            for (int64_t i = 0; i < spikes.count; ++i)
                made.late[g].push_back((step - start) * plan.block[g].size + spikes.units[i]);
        }
}

// Some steps of some replicas: what there is to be asked for, and then to be freed. Spikes of all steps are there where
// they are to be kept; the last ones are in any case.
SHARED void* run_some(const Plan* plan, const Known* known, int64_t first, int64_t last, int64_t start, int64_t steps,
                      int64_t keep) {
    int64_t populations = 0;
    for (int64_t g = 0; g < plan->blocks; ++g) populations += plan->block[g].group.populations;
    auto* made = new Made{std::vector<Record>(populations), std::vector<Spikes>(plan->blocks)};
    for (int64_t replica = first; replica < last; ++replica) run(*plan, *known, replica, start, steps, keep, *made);
    return made;
}

SHARED int64_t recorded(const void* made, int64_t population) {
    return static_cast<const Made*>(made)->records[population].step.size();
}

// Spikes of a population, and how many each replica has.
SHARED void take(const void* made, int64_t population, int64_t start, int64_t* step, int32_t* unit, int64_t* counts) {
    const Record& mine = static_cast<const Made*>(made)->records[population];
    for (size_t i = 0; i < mine.step.size(); ++i) step[i] = start + mine.step[i];
    std::copy(mine.unit.begin(), mine.unit.end(), unit);
    std::copy(mine.counts.begin(), mine.counts.end(), counts);
}

SHARED int64_t later(const void* made, int64_t block) { return static_cast<const Made*>(made)->late[block].size(); }

SHARED void take_late(const void* made, int64_t block, int64_t* key) {
    const Spikes& mine = static_cast<const Made*>(made)->late[block];
    std::copy(mine.begin(), mine.end(), key);
}

SHARED void done(void* made) { delete static_cast<Made*>(made); }

// How replicas fire ------------------------------------------------------------------------------------------------------

// The sums of neurosal.record.firing, whose names these are; of one population, replica by replica. All are whole numbers.
struct Firing {
    struct Unit {
        int64_t last, intervals;
        double sum, squares;
    };
    int64_t units, kept, bin, settle;
    const int64_t* place;  // in the sample, of a unit; or -1
    Unit* of_units;
    double *pending, *counts, *products, *population_squares;
};

constexpr int64_t SOME = 16;  // spikes between the one whose unit is fetched and the one that is counted

// Spikes of some replicas since the settling time, begin[replica] up to begin[replica + 1], in order of steps; `first` is the first step of the bin
// that was not full, `full` how many are so by now.
SHARED void sum_up(const Firing* f, int64_t from, int64_t to, int64_t first, int64_t full, const int64_t* step,
                   const int32_t* unit, const int64_t* begin) {
    const int64_t kept = f->kept, wide = kept + 1;
    std::vector<double> count(wide);
    std::vector<int64_t> some;  // of the sample, with a count
    for (int64_t r = from; r < to; ++r) {
        Firing::Unit* units = f->of_units + r * f->units;
        double *pending = f->pending + r * wide, *counts = f->counts + r * wide, *products = f->products + r * kept * kept;
        std::copy(pending, pending + wide, count.begin());
        some.clear();
        for (int64_t k = 0; k < kept; ++k)
            if (count[k] != 0) some.push_back(k);
        int64_t bins = 0, end = first + f->bin;
        const auto close = [&] {  // bins that hold nothing change nothing
            for (const int64_t j : some) counts[j] += count[j];
            counts[kept] += count[kept];
            f->population_squares[r] += count[kept] * count[kept];
            const bool many = static_cast<int64_t>(some.size()) * 4 > kept;
            for (const int64_t j : some) {
                double* __restrict row = products + j * kept;
                const double mine = count[j];
                if (many)
                    for (int64_t k = 0; k < kept; ++k) row[k] += mine * count[k];
                else
                    for (const int64_t k : some) row[k] += mine * count[k];
            }
            for (const int64_t j : some) count[j] = 0;
            count[kept] = 0;
            some.clear();
        };
        for (int64_t i = begin[r]; i < begin[r + 1]; ++i) {
            if (i + SOME < begin[r + 1]) SOON(units + unit[i + SOME]);
            const int64_t now = step[i];
            Firing::Unit& u = units[unit[i]];
            if (u.last >= f->settle) {
                const double interval = static_cast<double>(now - u.last);
                ++u.intervals;
                u.sum += interval;
                u.squares += interval * interval;
            }
            u.last = now;
            if (now >= end) {
                close();
                bins = (now - first) / f->bin;
                end = first + (bins + 1) * f->bin;
            }
            ++count[kept];
            const int64_t k = f->place[unit[i]];
            if (k >= 0 && count[k]++ == 0) some.push_back(k);
        }
        if (bins < full) close();
        std::copy(count.begin(), count.end(), pending);
    }
}
