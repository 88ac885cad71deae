"""Methods by name. A line here buys a method the whole common test suite (tests/methods/test_contracts.py)."""

from reelvec.core import Method
from reelvec.methods.cmd import Cmd
from reelvec.methods.cvrl import Cvrl
from reelvec.methods.dsm import Dsm
from reelvec.methods.modist import Modist
from reelvec.methods.rho_byol import RhoByol
from reelvec.methods.rho_moco import RhoMoco
from reelvec.methods.rho_simclr import RhoSimclr
from reelvec.methods.rho_swav import RhoSwav
from reelvec.methods.tcgl import Tcgl
from reelvec.methods.v3s import V3s
from reelvec.methods.vtdl import Vtdl

METHODS: dict[str, type[Method]] = {
    "modist": Modist,
    "cvrl": Cvrl,
    "rho_moco": RhoMoco,
    "rho_byol": RhoByol,
    "rho_simclr": RhoSimclr,
    "rho_swav": RhoSwav,
    "tcgl": Tcgl,
    "v3s": V3s,
    "dsm": Dsm,
    "vtdl": Vtdl,
    "cmd": Cmd,
}
