//===- SparseSchemes.cpp - schemes that say which weights are kept ------------------------===//
//
// N:M and masks: the kept weights are stored as an inner scheme says.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/IR/Schemes.h"

#include "mlir/IR/DialectImplementation.h"

using namespace mlir;
using namespace llmc;

using EmitError = function_ref<InFlightDiagnostic()>;

// A mask hands out weights one by one, so each must have a code or value of its own.
static LogicalResult verifyInnerScheme(EmitError emitError, Attribute inner) {
  auto scheme = dyn_cast<SchemeAttrInterface>(inner);
  std::optional<DecodePlan> plan = scheme ? scheme.decodePlan() : std::nullopt;
  if (!plan || plan->isSparse() || !plan->isPerWeight())
    return emitError() << "expects an inner scheme with a code or value for each weight, got "
                       << inner;
  return success();
}

//===----------------------------------------------------------------------===//
// nm
//===----------------------------------------------------------------------===//

Attribute NMSchemeAttr::parse(AsmParser &parser, Type) {
  int64_t n = 0, m = 0;
  Attribute inner;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseInteger(n) || parser.parseColon() ||
      parser.parseInteger(m) || parser.parseComma() || parser.parseAttribute(inner) ||
      parser.parseGreater())
    return {};
  return parser.getChecked<NMSchemeAttr>(loc, parser.getContext(), n, m, inner);
}

void NMSchemeAttr::print(AsmPrinter &printer) const {
  printer << "<" << getN() << ":" << getM() << ", " << getInner() << ">";
}

LogicalResult NMSchemeAttr::verify(EmitError emitError, int64_t n, int64_t m, Attribute inner) {
  if (m < 2 || m > 32 || n < 1 || n >= m)
    return emitError() << "expects N:M with 1 <= N < M <= 32, got " << n << ":" << m;
  return verifyInnerScheme(emitError, inner);
}

static DecodePlan planOf(Attribute scheme) {
  return *cast<SchemeAttrInterface>(scheme).decodePlan();
}

std::optional<DecodePlan> NMSchemeAttr::decodePlan() const {
  DecodePlan plan = planOf(getInner());
  plan.keepN = getN();
  plan.keepM = getM();
  return plan;
}

Attribute NMSchemeAttr::keptScheme() const { return getInner(); }

SchemeAttrInterface llmc::getNMScheme(SchemeAttrInterface inner, int64_t n, int64_t m) {
  return NMSchemeAttr::get(inner.getContext(), n, m, inner);
}

//===----------------------------------------------------------------------===//
// mask
//===----------------------------------------------------------------------===//

LogicalResult MaskSchemeAttr::verify(EmitError emitError, Attribute inner) {
  return verifyInnerScheme(emitError, inner);
}

std::optional<DecodePlan> MaskSchemeAttr::decodePlan() const {
  DecodePlan plan = planOf(getInner());
  plan.masked = true;
  return plan;
}

Attribute MaskSchemeAttr::keptScheme() const { return getInner(); }

SchemeAttrInterface llmc::getMaskScheme(SchemeAttrInterface inner) {
  return MaskSchemeAttr::get(inner.getContext(), inner);
}
