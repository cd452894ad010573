# The image of producer and workers alike; docs/compose.md shows how to run it.
#
#   docker build -t nightsweep .
#
# For machines without a GPU, with a torch that is a tenth of the size:
#
#   docker build -t nightsweep --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .

FROM python:3.11.14-slim-bookworm AS packages
ENV PATH=/opt/nightsweep/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/nightsweep
WORKDIR /source
# First what nightsweep needs: gigabytes, made anew only when one of these changes.
# On x86-64 the pinned torch is the wheel with CUDA, and brings its libraries along,
# unless another index has that version for CPUs only.
ARG TORCH_INDEX=
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; \
project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
extras = project['optional-dependencies']; \
print(*project['dependencies'], *extras['torch'], *extras['postgres'], *extras['s3'], sep='\n')" \
    > requirements.txt \
 && pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
    -c constraints.txt -r requirements.txt

FROM packages AS wheel
COPY README.md LICENSE nightsweep.py ./
COPY analysis analysis
COPY gallery gallery
COPY producer producer
COPY storage storage
COPY workers workers
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM python:3.11.14-slim-bookworm
COPY --from=packages /opt/nightsweep /opt/nightsweep
ENV PATH=/opt/nightsweep/bin:$PATH \
    HF_HOME=/models \
    NIGHTSWEEP_HOME=/state \
    NIGHTSWEEP_IMAGES=/images \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONUNBUFFERED=1
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-deps /wheels/*.whl
# A new named volume takes its owner from the folder that it covers.
RUN useradd --create-home --uid 1000 nightsweep \
 && install --directory --owner nightsweep --group nightsweep /images /models /state
USER nightsweep
WORKDIR /state
ENTRYPOINT ["nightsweep"]
CMD ["--help"]
