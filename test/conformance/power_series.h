// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The gochan authors.
//
// PowerSeries: infinite power series with rational coefficients, each a
// goroutine that makes the next coefficient when it is asked for.
//
//   auto [ctx, cancel] = WithCancel(Background());
//   PowerSeries world(ctx);
//   world.Take(world.Tan(), 10)     // the first coefficients
//
// A series has one reader, who uses it once. The context's end ends them all.
//
// Source: M. D. McIlroy, "Squinting at power series", Software - Practice and
// Experience 20(7), 1990; in Go, test/chan/powser1.go.

#ifndef GOCHAN_TEST_CONFORMANCE_POWER_SERIES_H_
#define GOCHAN_TEST_CONFORMANCE_POWER_SERIES_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <numeric>
#include <ostream>
#include <utility>
#include <vector>

#include "chan/chan.h"
#include "ctx/context.h"
#include "go/go.h"
#include "select/select.h"

namespace gochan::test {

// A reduced fraction; the denominator is positive.
class Rational {
 public:
  Rational(int64_t numerator = 0, int64_t denominator = 1)  // NOLINT: a number
      : numerator_(numerator), denominator_(denominator) {
    const int64_t divisor = std::gcd(numerator, denominator);
    if (divisor != 0) {
      numerator_ /= denominator < 0 ? -divisor : divisor;
      denominator_ /= denominator < 0 ? -divisor : divisor;
    }
  }
  friend Rational operator+(const Rational& a, const Rational& b) {
    const int64_t divisor = std::gcd(a.denominator_, b.denominator_);
    return Rational(a.numerator_ * (b.denominator_ / divisor) +
                        b.numerator_ * (a.denominator_ / divisor),
                    a.denominator_ / divisor * b.denominator_);
  }
  friend Rational operator*(const Rational& a, const Rational& b) {
    // Across first, so that the products stay small.
    const Rational x(a.numerator_, b.denominator_);
    const Rational y(b.numerator_, a.denominator_);
    return Rational(x.numerator_ * y.numerator_,
                    x.denominator_ * y.denominator_);
  }
  friend bool operator==(const Rational&, const Rational&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Rational& r) {
    return out << r.numerator_ << '/' << r.denominator_;
  }

 private:
  int64_t numerator_;
  int64_t denominator_;
};

class PowerSeries {
 public:
  // `ask` says that the next coefficient is wanted, `answer` brings it.
  struct Series {
    Chan<Unit> ask = MakeChan<Unit>();
    Chan<Rational> answer = MakeChan<Rational>();
  };
  using Pair = std::pair<Series, Series>;

  explicit PowerSeries(Context ctx) : ctx_(std::move(ctx)) {}

  std::vector<Rational> Take(const Series& u, int n) const {
    std::vector<Rational> coefficients(static_cast<std::size_t>(n));
    for (Rational& c : coefficients) {
      if (!Get(u, &c)) break;
    }
    return coefficients;
  }

  // c + c x + c x^2 + …
  Series Constants(Rational c) const {
    return Start([*this, c](const Series& z) {
      while (Put(z, c)) {
      }
    });
  }

  Series Polynomial(std::vector<Rational> coefficients) const {
    return Start([*this, coefficients](const Series& z) {
      for (const Rational& c : coefficients) {
        if (!Put(z, c)) return;
      }
      while (Put(z, 0)) {
      }
    });
  }

  Series Add(const Series& u, const Series& v) const {
    return Start([*this, u, v](const Series& z) {
      Rational a, b;
      while (Asked(z) && GetBoth(u, &a, v, &b) && Answer(z, a + b)) {
      }
    });
  }

  Series Scale(Rational c, const Series& u) const {
    return Start([*this, c, u](const Series& z) {
      Rational a;
      while (Asked(z) && Get(u, &a) && Answer(z, c * a)) {
      }
    });
  }

  // c + x U
  Series Shift(Rational c, const Series& u) const {
    return Start([*this, c, u](const Series& z) {
      if (Put(z, c)) Copy(u, z);
    });
  }

  Series Derivative(const Series& u) const {
    return Start([*this, u](const Series& z) {
      Rational a;
      if (!Asked(z) || !Get(u, &a)) return;  // the constant goes
      for (int64_t i = 1; Get(u, &a) && Answer(z, Rational(i) * a) && Asked(z);
           ++i) {
      }
    });
  }

  // c + the integral of U from 0
  Series Integral(Rational c, const Series& u) const {
    return Start([*this, c, u](const Series& z) {
      if (!Put(z, c)) return;
      Rational a;
      for (int64_t i = 1;
           Asked(z) && Get(u, &a) && Answer(z, Rational(1, i) * a); ++i) {
      }
    });
  }

  // (u + xU')(v + xV') = uv + x(uV' + vU') + x^2 U'V'
  Series Multiply(const Series& u, const Series& v) const {
    return Start([*this, u, v](const Series& z) {
      Rational a, b;
      if (!Asked(z) || !GetBoth(u, &a, v, &b) || !Answer(z, a * b)) return;
      const auto [u1, u2] = Split(u);
      const auto [v1, v2] = Split(v);
      const Series mixed = Add(Scale(a, v1), Scale(b, u1));
      Rational c;
      if (!Asked(z) || !Get(mixed, &c) || !Answer(z, c)) return;
      Copy(Add(mixed, Multiply(u2, v2)), z);
    });
  }

  // U(V), where V has no constant: u + V'x U'(V)
  Series Substitute(const Series& u, const Series& v) const {
    return Start([*this, u, v](const Series& z) {
      const auto [v1, v2] = Split(v);
      Rational a;
      if (!Asked(z) || !Get(u, &a) || !Answer(z, a)) return;
      if (!Get(v1, &a)) return;  // the constant, 0
      Copy(Multiply(v1, Substitute(u, v2)), z);
    });
  }

  // exp(U), where U has no constant. Z' = Z U'.
  Series Exp(const Series& u) const {
    return FixedPoint([&](const Series& z) {
      return Integral(1, Multiply(z, Derivative(u)));
    });
  }

  // tan x. Z' = 1 + Z^2.
  Series Tan() const {
    return FixedPoint([&](const Series& z) {
      const auto [z1, z2] = Split(z);
      return Integral(0, Add(Polynomial({1}), Multiply(z1, z2)));
    });
  }

  // Two readers of one series, neither of which waits for the other.
  Pair Split(const Series& u) const {
    const Pair out;
    StartSplit(u, out);
    return out;
  }

 private:
  bool Asked(const Series& z) const {
    return Select(RecvCase(z.ask), DoneCase(ctx_)) == 0;
  }
  bool Answer(const Series& z, Rational c) const {
    return Select(SendCase(z.answer, c), DoneCase(ctx_)) == 0;
  }
  bool Put(const Series& z, Rational c) const {
    return Asked(z) && Answer(z, c);
  }
  bool Get(const Series& u, Rational* c) const {
    return Select(SendCase(u.ask, Unit{}), DoneCase(ctx_)) == 0 &&
           Select(RecvCase(u.answer, c), DoneCase(ctx_)) == 0;
  }
  // Asks both before it waits for either.
  bool GetBoth(const Series& u, Rational* a, const Series& v,
               Rational* b) const {
    Chan<Unit> ask_u = u.ask, ask_v = v.ask;
    Chan<Rational> answer_u, answer_v;
    for (int i = 0; i < 4; ++i) {
      switch (Select(SendCase(ask_u, Unit{}), SendCase(ask_v, Unit{}),
                     RecvCase(answer_u, a), RecvCase(answer_v, b),
                     DoneCase(ctx_))) {
        case 0:
          ask_u = nullptr;
          answer_u = u.answer;
          break;
        case 1:
          ask_v = nullptr;
          answer_v = v.answer;
          break;
        case 2:
          answer_u = nullptr;
          break;
        case 3:
          answer_v = nullptr;
          break;
        default:
          return false;
      }
    }
    return true;
  }
  void Copy(const Series& u, const Series& z) const {
    Rational c;
    while (Asked(z) && Get(u, &c) && Answer(z, c)) {
    }
  }

  // `fn` gets a copy of this and the series to fill.
  template <typename Fn>
  Series Start(Fn fn) const {
    Series z;
    Go([fn = std::move(fn), z] { fn(z); });
    return z;
  }

  // The series that is made from itself.
  template <typename Make>
  Series FixedPoint(Make make) const {
    Pair readers;
    StartSplit(make(readers.first), readers);
    return readers.second;
  }

  // Keeps for the one what the other has taken already. It serves both while it
  // waits for u, which may depend on them.
  void StartSplit(const Series& u, const Pair& out) const {
    Go([*this, u, out] {
      struct Reader {
        Series series;
        std::deque<Rational> queue = {};
        bool waits = false;
        bool Starves() const { return waits && queue.empty(); }
        Chan<Unit> Ask() const { return waits ? nullptr : series.ask; }
        Chan<Rational> Answer() const {
          return waits && !queue.empty() ? series.answer : nullptr;
        }
        Rational Next() const { return queue.empty() ? 0 : queue.front(); }
        void Served() {
          queue.pop_front();
          waits = false;
        }
      };
      Reader x{out.first}, y{out.second};
      bool asked = false;
      for (bool going_on = true; going_on;) {
        const bool wanted = !asked && (x.Starves() || y.Starves());
        Select(
            RecvCase(x.Ask(), [&] { x.waits = true; }),
            RecvCase(y.Ask(), [&] { y.waits = true; }),
            SendCase(x.Answer(), x.Next(), [&] { x.Served(); }),
            SendCase(y.Answer(), y.Next(), [&] { y.Served(); }),
            SendCase(wanted ? u.ask : nullptr, Unit{}, [&] { asked = true; }),
            RecvCase(asked ? u.answer : nullptr,
                     [&](Rational answer) {
                       x.queue.push_back(answer);
                       y.queue.push_back(answer);
                       asked = false;
                     }),
            DoneCase(ctx_, [&] { going_on = false; }));
      }
    });
  }

  const Context ctx_;
};

}  // namespace gochan::test

#endif  // GOCHAN_TEST_CONFORMANCE_POWER_SERIES_H_
