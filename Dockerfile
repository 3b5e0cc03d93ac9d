# One image for all of Laurel: `laurel run NAME` is a service, the other commands are the operator's tools.
# What is installed is what the locks say, by hash; the network is needed for nothing else.

FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# The dependencies come first: a change of the code alone reuses this layer.
COPY requirements/run.txt requirements/build.txt requirements/
RUN python -m venv /opt/laurel && python -m venv /opt/build \
 && /opt/laurel/bin/pip install --quiet --require-hashes --only-binary :all: -r requirements/run.txt \
 && /opt/build/bin/pip install --quiet --require-hashes --only-binary :all: -r requirements/build.txt
COPY . .
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/laurel/bin/pip install --quiet --no-deps --no-index /dist/*.whl \
 && /opt/laurel/bin/pip check \
 && /opt/laurel/bin/pip uninstall --quiet --yes pip setuptools

FROM python:3.11-slim
RUN groupadd --system --gid 10001 laurel \
 && useradd --system --uid 10001 --gid laurel --home-dir /var/lib/laurel --shell /usr/sbin/nologin laurel \
 && install -d -o laurel -g laurel -m 0700 /var/lib/laurel /var/lib/laurel/keys
COPY --from=build /opt/laurel /opt/laurel
COPY programs /usr/share/laurel/programs
ENV PATH=/opt/laurel/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LAUREL_HTTP_HOST=0.0.0.0 \
    LAUREL_KEYS_DIR=/var/lib/laurel/keys
USER 10001:10001
WORKDIR /usr/share/laurel
ENTRYPOINT ["laurel"]
